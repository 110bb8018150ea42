"""Does this sparsity pay? A hardware-aware sparsity simulator for accelerators, GPUs and CPUs.

The public names below load on first use, so that importing simsparse stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse import report
    from simsparse.formats import encode
    from simsparse.load import load_hardware, load_model
    from simsparse.packed import prepare
    from simsparse.pruning.prune import prune
    from simsparse.simulate import simulate, simulate_layer

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "encode",
    "load_hardware",
    "load_model",
    "prepare",
    "prune",
    "report",
    "simulate",
    "simulate_layer",
]

_HOMES = {
    "encode": "simsparse.formats",
    "load_hardware": "simsparse.load.catalog",
    "load_model": "simsparse.load.catalog",
    "prepare": "simsparse.packed",
    "prune": "simsparse.pruning.prune",
    "simulate": "simsparse.simulate",
    "simulate_layer": "simsparse.simulate",
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
