"""Files to domain types. The functions load on first use: a name needs no YAML, YAML no ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsparse.load.catalog import load_hardware, load_model, names

__all__ = ["load_hardware", "load_model", "names"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'simsparse.load' has no attribute '{name}'")
    from simsparse.load import catalog

    return getattr(catalog, name)
