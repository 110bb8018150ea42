"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = [
    "simsparse.cli.require",
    "simsparse.errors",
    "simsparse.formats",
    "simsparse.ir",
    "simsparse.load.document",
    "simsparse.load.inline",
    "simsparse.load.quoting",
    "simsparse.load.wording",
    "simsparse.load.yaml_tree",
    "simsparse.pattern",
    "simsparse.report.checks",
    "simsparse.report.machine",
    "simsparse.report.plain",
    "simsparse.report.sentences",
    "simsparse.results",
    "simsparse.technology",
    "simsparse.units",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.attempted
    assert not result.failed
