"""Pooling of planes (images × channels, height, width)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, store
from simsparse.kernels.simd_ops import floats, maximum, splat
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_tile import read_row, write_row

Planes = NDArray[np.float32]
Pair = tuple[int, int]


@kernel
def max_pool(w: Any, x: Planes, y: Planes, size: Pair, stride: Pair, before: Pair, dilation: Pair) -> None:
    """The largest of each window: of its rows first, then of shifted copies of that line, then every
    ``stride``-th; both maxima are straight loops over vectors, ``w``.
    """
    planes, width = x.shape[0], x.shape[2]
    step, reach = floats(w), (size[1] - 1) * dilation[1]
    room = max((y.shape[2] - 1) * stride[1] + reach + 1, before[1] + width)
    line = np.full(-(-room // step) * step + step + reach, -np.inf, np.float32)
    best = np.empty(line.size, np.float32)
    for plane in range(planes):
        for i in range(y.shape[1]):
            top = i * stride[0] - before[0]
            _rows_maximum(w, x, plane, top, size[0], dilation[0], address_of(line) + 4 * before[1])
            for start in range(0, room, step):
                place = address_of(line) + 4 * start
                value = load(w, place)
                for s in range(1, size[1]):
                    value = maximum(value, load(w, place + 4 * s * dilation[1]))
                store(address_of(best) + 4 * start, value)
            for j in range(y.shape[2]):
                y[plane, i, j] = best[j * stride[1]]


@inner
def _rows_maximum(w: Any, x: Planes, plane: int, top: int, rows: int, dilation: int, target: int) -> None:
    """The maximum of the rows of a window that lie in the image."""
    height, width = x.shape[1], x.shape[2]
    source = address_of(x) + plane * x.strides[0]
    for start in range(0, width, floats(w)):
        valid = min(width - start, floats(w))
        value = splat(w, -np.inf)
        for r in range(rows):
            at = top + r * dilation
            if 0 <= at < height:
                value = maximum(value, read_row(w, source + at * x.strides[1] + 4 * start, valid))
        write_row(w, target + 4 * start, value, valid)


@kernel
def average_pool(x: Planes, y: Planes, size: Pair, stride: Pair, before: Pair, with_padding: bool) -> None:
    """The mean of each window, over what lies inside the image or over all of it."""
    planes, height, width = x.shape
    for plane in range(planes):
        for i in range(y.shape[1]):
            top = i * stride[0] - before[0]
            for j in range(y.shape[2]):
                left = j * stride[1] - before[1]
                total = np.float32(0.0)
                low, high = max(top, 0), min(top + size[0], height)
                first, last = max(left, 0), min(left + size[1], width)
                for r in range(low, high):
                    for s in range(first, last):
                        total += x[plane, r, s]
                count = size[0] * size[1] if with_padding else (high - low) * (last - first)
                y[plane, i, j] = total / np.float32(count)
