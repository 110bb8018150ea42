"""The public verbs stay functions, whatever is imported beside them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

import simsparse


@pytest.mark.parametrize("name", sorted(set(simsparse.__all__) - {"__version__", "report"}))
def test_importing_the_module_of_a_verb_does_not_hide_the_verb(name: str) -> None:
    home = import_module(simsparse._HOMES[name])
    verb = getattr(simsparse, name)
    assert callable(verb)
    assert not isinstance(verb, ModuleType)
    assert verb is getattr(home, name)


def test_the_list_of_names_is_whole() -> None:
    assert set(simsparse.__all__) == {*simsparse._HOMES, "__version__", "report"}
    assert set(simsparse.__all__) <= set(dir(simsparse))
