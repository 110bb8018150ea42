"""Studies: grids of runs over any executor, kept in a folder, and the questions they answer.

A study file or lists become *points*; points that share their masks form *chunks*; chunks run on any
``concurrent.futures.Executor``; the driver alone writes what comes back into the study's folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse.sweep.run import open_study, sweep
    from simsparse.sweep.study import Study

_HOMES = {"Study": "study", "open_study": "run", "sweep": "run"}
__all__ = ["Study", "open_study", "sweep"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'simsparse.sweep' has no attribute '{name}'")
    value = getattr(import_module(f"simsparse.sweep.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
