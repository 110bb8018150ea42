"""Copies from one layout to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simsparse.measure.graph import Array


def copy_into(inputs: Sequence[Array], out: Array) -> None:
    """``out`` with the elements of the only input, of the same shape."""
    source = inputs[0]
    flat = _as_matrix(source, out)
    if flat is not None:
        from simsparse.kernels.net_transpose import transpose

        transpose(*flat)
    else:
        np.copyto(out, source)


def _as_matrix(source: Array, out: Array) -> tuple[Array, Array] | None:
    """Both as matrices of contiguous rows, one of them transposed, where that is what they are."""
    if source.dtype != np.float32 or source.ndim < 2 or source.size < 1024:
        return None
    n, k = source.size // source.shape[-1], source.shape[-1]
    if source.flags.c_contiguous and out.transpose(-1, *range(out.ndim - 1)).flags.c_contiguous:
        return source.reshape(n, k), out.reshape(n, k).T
    if out.flags.c_contiguous and source.transpose(-1, *range(out.ndim - 1)).flags.c_contiguous:
        return source.reshape(n, k).T, out.reshape(n, k)
    return None
