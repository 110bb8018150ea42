"""Results as text, JSON and tables; nothing here starts a simulation. Each writer loads on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse.report.energy import energy
    from simsparse.report.frame import frame
    from simsparse.report.json import run_to_dict, to_json
    from simsparse.report.page import html
    from simsparse.report.read import read_run
    from simsparse.report.sentences import verdict

_HOMES = {
    "energy": "energy",
    "frame": "frame",
    "html": "page",
    "read_run": "read",
    "run_to_dict": "json",
    "to_json": "json",
    "verdict": "sentences",
}
__all__ = ["energy", "frame", "html", "read_run", "run_to_dict", "to_json", "verdict"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'simsparse.report' has no attribute '{name}'")
    value = getattr(import_module(f"simsparse.report.{_HOMES[name]}"), name)
    globals()[name] = value  # importing the submodule of this name has bound the module
    return value
