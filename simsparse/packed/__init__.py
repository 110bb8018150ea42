"""Encoded weights made ready for a kernel on this host, and multiplied by it.

>>> import numpy as np
>>> from simsparse.formats import encode
>>> from simsparse.packed import prepare
>>> packed = prepare(encode(np.eye(4, dtype=np.float32), "coo"), n_columns=3)
>>> (packed @ np.ones((4, 3), np.float32)).sum()
np.float32(12.0)
>>> packed.packed_from
'coo'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsparse.packed.conv import PackedConv, prepare_conv
    from simsparse.packed.preparation import KernelInfo, Packed, kernels, prepare

__all__ = ["KernelInfo", "Packed", "PackedConv", "kernels", "prepare", "prepare_conv"]


def __getattr__(name: str) -> Any:
    if name in ("PackedConv", "prepare_conv"):
        from simsparse.packed import conv

        return getattr(conv, name)
    if name in __all__:
        from simsparse.packed import preparation

        return getattr(preparation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
