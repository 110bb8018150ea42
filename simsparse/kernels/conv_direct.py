"""Convolution with all weights present and few input channels: no im2col, a padded strip of the image in L1.

A strip of rows of all channels is copied as for depthwise convolution (``conv_depthwise``): then a tap of a
vector of outputs is one load. Four rows of W share each, so a panel of three vectors holds twelve sums.

Limit. With AVX2 a tap costs twelve FMAs, 6 cycles, beside seven loads, of which every third straddles two
cache lines. The strip is copied once for all rows of W.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_depthwise import Geometry, copy_strip
from simsparse.kernels.conv_flat import Floats, limits_of, put
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat, prefetch
from simsparse.kernels.simd_ops import compile_apart, floats, fma, zeros
from simsparse.kernels.simd_scalar import address_of, peek_i32
from simsparse.kernels.spmm_tile import Epilogue

GROUP = 4
"""Rows of W at a time."""


@inner
def put_row(
    w: Any,
    value: Any,
    at: int,
    end: int,
    valid: int,
    row: int,
    y: int,
    y_row: int,
    residual: int,
    residual_row: int,
    activation: int,
) -> None:
    """Finish and store the panel of one row of W."""
    beside = residual + row * residual_row if residual != 0 else 0
    put(w, value, at, end, valid, y + row * y_row, (0, beside, 0, activation), limits_of(activation))


@apart
def direct_panel(
    w: Any,
    source: int,
    taps: tuple[int, int, int],
    at: int,
    end: int,
    valid: int,
    rows: int,
    y: int,
    y_row: int,
    residual_row: int,
    epilogue: Epilogue,
) -> None:
    """One vector panel of an output row, of all rows of W; ``end`` is where the strip ends in a plane."""
    compile_apart()
    amount, tap, value = taps
    bias, residual, _, activation = epilogue
    for first in range(0, rows, GROUP):
        i, j, k, m = first, min(first + 1, rows - 1), min(first + 2, rows - 1), min(first + 3, rows - 1)
        for row in (i, j, k, m):
            prefetch(w, y + row * y_row + 4 * at)
        a, b, c, d = zeros(w), zeros(w), zeros(w), zeros(w)
        if bias != 0:
            a, b = load_splat(w, bias + 4 * i), load_splat(w, bias + 4 * j)
            c, d = load_splat(w, bias + 4 * k), load_splat(w, bias + 4 * m)
        for p in range(amount):
            seen = load(w, source + peek_i32(tap + 4 * p))
            a = fma(seen, load_splat(w, value), a)
            b = fma(seen, load_splat(w, value + 4), b)
            c = fma(seen, load_splat(w, value + 8), c)
            d = fma(seen, load_splat(w, value + 12), d)
            value += 4 * GROUP
        put_row(w, a, at, end, valid, i, y, y_row, residual, residual_row, activation)
        put_row(w, b, at, end, valid, j, y, y_row, residual, residual_row, activation)
        put_row(w, c, at, end, valid, k, y, y_row, residual, residual_row, activation)
        put_row(w, d, at, end, valid, m, y, y_row, residual, residual_row, activation)


@kernel
def direct_share(
    wide: Any,
    narrow: Any,
    two: Any,
    low: int,
    high: int,
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    geometry: Geometry,
    size: int,
    x: Floats,
    y: Floats,
    tile: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Strips ``low``..``high`` of a batch (batch, channels, pixels); ``tile`` is +0 at its borders.

    ``panels``: wide and narrow ones of an output row. ``taps``: how many there are of all channels, addresses
    of their bytes into the tile and of their values, group of rows by group. ``size``: floats of a channel of
    the tile.
    """
    compile_apart()
    _, _, out_height, out_width, down, _, top, _, strip, pitch, _, _, deep = geometry
    strips, offset = (out_height + strip - 1) // strip, panels[0] * floats(wide)
    rows, shift = y.shape[1], address_of(bias) if bias.size > 0 else 0
    for number in range(low, high):
        item = number // strips
        first = (number - item * strips) * strip
        last = min(first + strip, out_height)
        for channel in range(x.shape[1]):
            plane = address_of(x) + item * x.strides[0] + channel * x.strides[1]
            own = tile[channel * size : (channel + 1) * size]
            copy_strip(two, plane, first * down - top, (last - first - 1) * down + deep, geometry, own)
        target = address_of(y) + item * y.strides[0]
        beside = address_of(residual) + item * residual.strides[0] if residual.size > 0 else 0
        epilogue = (shift, beside, 0, activation)
        for row in range(first, last):
            source = address_of(tile) + 4 * (row - first) * down * pitch
            at, end = row * out_width, last * out_width
            to = (rows, target, y.strides[1], residual.strides[1], epilogue)
            for panel in range(panels[1] - 1, -1, -1):
                column = offset + panel * floats(narrow)
                valid = min(out_width - column, floats(narrow))
                direct_panel(narrow, source + 4 * column, taps, at + column, end, valid, *to)
            for panel in range(panels[0] - 1, -1, -1):
                column = panel * floats(wide)
                valid = min(out_width - column, floats(wide))
                direct_panel(wide, source + 4 * column, taps, at + column, end, valid, *to)
