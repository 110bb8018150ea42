"""Pooling of planes (images × channels, height, width), and means of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_simd import evens
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, load_first, store
from simsparse.kernels.simd_ops import add, floats, maximum, splat, total, zeros
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_tile import read_row, write_row

Planes = NDArray[np.float32]
Pair = tuple[int, int]


@kernel
def max_pool(
    one: Any, two: Any, x: Planes, y: Planes, size: Pair, stride: Pair, before: Pair, dilation: Pair
) -> None:
    """The largest of each window, NaN left out: of its rows, then of that line as its columns see it.

    ``one`` and ``two`` are widths of so many vectors; x and y are dense.

    Limit. A row of outputs of a 3x3 window with stride 2 is three loads per vector of a row of x, then six
    per vector of outputs, most across two cache lines: 70 cycles for 112 columns on Zen 4. Measured: 110 to
    125 from L1 and L2, 155 from L3.
    """
    planes, height, width = x.shape
    _, out_height, out_width = y.shape
    across, deep = (size[1], 4 * dilation[1]), size[0] * dilation[0]
    room = max(out_width * stride[1], before[1] + width) + size[1] * dilation[1] + 2 * floats(two)
    line, best = np.full(room, -np.inf, np.float32), np.empty(room, np.float32)
    source, target, end = address_of(x), address_of(y), address_of(y) + 4 * y.size
    seen = address_of(line)
    for plane in range(planes):
        for row in range(out_height):
            top, first, last = row * stride[0] - before[0], 0, size[0]
            if top < 0:
                first = (dilation[0] - 1 - top) // dilation[0]
            if top + deep > height:
                last = min((height - top + dilation[0] - 1) // dilation[0], last)
            begin = source + 4 * (top + first * dilation[0]) * width
            _rows_maximum(one, two, begin, 4 * dilation[0] * width, last - first, width, seen + 4 * before[1])
            if stride[1] == 1:
                for j in range(0, out_width, floats(one)):
                    _put(one, target + 4 * j, _shifts_maximum(one, seen + 4 * j, across), end)
            elif stride[1] == 2:
                for j in range(0, out_width, floats(one)):
                    _put(one, target + 4 * j, evens(_shifts_maximum(two, seen + 8 * j, across)), end)
            else:
                for j in range(0, out_width * stride[1], floats(two)):
                    store(address_of(best) + 4 * j, _shifts_maximum(two, seen + 4 * j, across))
                for j in range(out_width):
                    y[plane, row, j] = best[j * stride[1]]
            target += 4 * out_width
        source += 4 * height * width


@inner
def _rows_maximum(one: Any, two: Any, source: int, step: int, rows: int, width: int, target: int) -> None:
    """The maximum of ``rows`` rows, ``step`` bytes apart."""
    pairs = width // floats(two) * floats(two)
    for start in range(0, pairs, floats(two)):
        store(target + 4 * start, _maximum(two, source + 4 * start, step, rows, floats(two)))
    for start in range(pairs, width, floats(one)):
        valid = min(width - start, floats(one))
        write_row(one, target + 4 * start, _maximum(one, source + 4 * start, step, rows, valid), valid)


@inner
def _maximum(w: Any, source: int, step: int, rows: int, valid: int) -> Any:
    value = splat(w, -np.inf)
    for _ in range(rows):
        value = maximum(value, read_row(w, source, valid))
        source += step
    return value


@inner
def _shifts_maximum(w: Any, source: int, across: Pair) -> Any:
    """The maximum of a line and the copies of it that the columns of a window see."""
    value = load(w, source)
    for _ in range(1, across[0]):
        source += across[1]
        value = maximum(value, load(w, source))
    return value


@inner
def _put(w: Any, target: int, value: Any, end: int) -> None:
    """Store as much as there is room for: the next row overwrites what is too much."""
    write_row(w, target, value, min((end - target) // 4, floats(w)))


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


@kernel
def mean_rows(w: Any, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    """The mean of each row of x (rows, n) to y (rows,), x dense; summed a vector ``w`` at a time.

    In runs of 64 vectors, whose sums are added in float64: errors do not grow with n.
    """
    step, run, n = floats(w), 64 * floats(w), x.shape[1]
    for row in range(x.shape[0]):
        source, whole = address_of(x) + row * x.strides[0], 0.0
        for first in range(0, n, run):
            value, last = zeros(w), min(first + run, n)
            for start in range(first, last - step + 1, step):
                value = add(value, load(w, source + 4 * start))
            rest = (last - first) % step
            if rest > 0:
                value = add(value, load_first(w, source + 4 * (last - rest), rest))
            whole += total(value)
        y[row] = whole / n
