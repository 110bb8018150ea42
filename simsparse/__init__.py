"""Does this sparsity pay? A hardware-aware sparsity simulator for accelerators, GPUs and CPUs.

The public names below load on first use, so that importing simsparse stays quick.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse import report
    from simsparse.explanation import explain
    from simsparse.formats import encode
    from simsparse.load import load_hardware, load_model
    from simsparse.measure.measure import measure
    from simsparse.packed import prepare
    from simsparse.pruning.prune import prune
    from simsparse.published.pareto import pareto
    from simsparse.simulate import simulate, simulate_layer
    from simsparse.sweep import sweep

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "encode",
    "explain",
    "load_hardware",
    "load_model",
    "measure",
    "pareto",
    "prepare",
    "prune",
    "report",
    "simulate",
    "simulate_layer",
    "sweep",
]

_HOMES = {
    "encode": "simsparse.formats",
    "explain": "simsparse.explanation",
    "load_hardware": "simsparse.load.catalog",
    "load_model": "simsparse.load.catalog",
    "measure": "simsparse.measure.measure",
    "pareto": "simsparse.published.pareto",
    "prepare": "simsparse.packed",
    "prune": "simsparse.pruning.prune",
    "simulate": "simsparse.simulate",
    "simulate_layer": "simsparse.simulate",
    "sweep": "simsparse.sweep",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "report":
        return import_module("simsparse.report")
    if name not in _HOMES:
        raise AttributeError(f"module 'simsparse' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Importing a submodule binds its name here; where a verb has that name, the verb stays."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
