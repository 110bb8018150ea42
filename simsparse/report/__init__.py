"""Results as text, JSON and tables; nothing here starts a simulation. Each writer loads on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse.report.frame import frame
    from simsparse.report.json import run_to_dict, to_json
    from simsparse.report.sentences import verdict

_HOMES = {"frame": "frame", "run_to_dict": "json", "to_json": "json", "verdict": "sentences"}
__all__ = ["frame", "run_to_dict", "to_json", "verdict"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'simsparse.report' has no attribute '{name}'")
    value = getattr(import_module(f"simsparse.report.{_HOMES[name]}"), name)
    globals()[name] = value  # importing the submodule frame has bound its name to the module
    return value
