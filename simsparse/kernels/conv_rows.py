"""Depthwise 3x3 convolution with its nine weights in registers, straight from the image, strides 1 and 2.

Two output rows at a time, one vector each: an input row that both see is loaded once. Rows beyond the image
are a row of zeros elsewhere; columns beyond it are masked, in the few vectors at the ends of a row. Stride 2
picks every second float of two loads with one shuffle, whose order of lanes only the sums are cured of.

Limit. Two output vectors cost 18 FMAs, 9 cycles, beside 12 loads at stride 1 (every third straddles two cache
lines: 8 cycles), or 20 loads (half of them straddle: 15 cycles) and 17 shuffles at stride 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import overload

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, limits_of, put
from simsparse.kernels.conv_simd import halves_even, halves_mixed, halves_odd, in_order, load_where
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat
from simsparse.kernels.simd_ops import compile_apart, floats, fma, zeros
from simsparse.kernels.simd_scalar import address_of, peek_i64
from simsparse.kernels.spmm_tile import Epilogue

Geometry = tuple[int, int, int, int, int, int, int, int]
"""Height, width; out height, out width; stride; padding above and left; rows of W per channel."""

Edges = tuple[int, int, int, int, int, int]
"""Vectors of a row that need masks: how many, addresses of their first columns (int64) and of four masks
each. First column of the others, one past their last. Address of a row of zeros."""


def loaded(w: Any, address: int, mask: int) -> Any:
    """Consecutive floats; where ``mask`` is an address, +0 in lanes whose mask there is not set."""
    raise NotImplementedError


@overload(loaded, strict=False, jit_options={"forceinline": True})
def _loaded(w: Any, address: Any, mask: Any) -> Callable[..., Any]:  # noqa: ARG001
    if isinstance(mask, types.NoneType):
        return _loaded_whole
    return _loaded_where


def _loaded_whole(w: Any, address: int, mask: Any) -> Any:  # noqa: ARG001
    return load(w, address)


def _loaded_where(w: Any, address: int, mask: Any) -> Any:
    return load_where(address, load(w, mask))


def after(w: Any, mask: Any, number: int) -> Any:
    """The address of the mask ``number`` masks after; None for None."""
    raise NotImplementedError


@overload(after, strict=False, jit_options={"forceinline": True})
def _after(w: Any, mask: Any, number: Any) -> Callable[..., Any]:  # noqa: ARG001
    if isinstance(mask, types.NoneType):
        return lambda w, mask, number: None  # noqa: ARG005
    return lambda w, mask, number: mask + 4 * number * floats(w)


@inner
def taps_one(w: Any, at: int, mask: Any) -> Any:
    """What the three taps of an input row see at stride 1, from the first tap's input on."""
    return (
        loaded(w, at, mask),
        loaded(w, at + 4, after(w, mask, 1)),
        loaded(w, at + 8, after(w, mask, 2)),
    )


@inner
def taps_two(w: Any, at: int, mask: Any) -> Any:
    """``taps_one`` at stride 2, lanes out of order."""
    step = 4 * floats(w)
    a, b = loaded(w, at, mask), loaded(w, at + step, after(w, mask, 1))
    c, d = loaded(w, at + 8, after(w, mask, 2)), loaded(w, at + step + 4, after(w, mask, 3))
    return halves_even(a, b), halves_odd(a, b), halves_mixed(c, d)


@inner
def add_row(total: Any, seen: Any, a: Any, b: Any, c: Any) -> Any:
    """``total`` plus one row of the window."""
    return fma(seen[2], c, fma(seen[1], b, fma(seen[0], a, total)))


@inner
def pair_one(w: Any, rows: Any, at: int, mask: Any, weights: Any, start: Any) -> Any:
    """A vector of two output rows each, at stride 1."""
    a, b, c, d, e, f, g, h, i = weights
    seen = taps_one(w, rows[0] + at, mask)
    above = add_row(start, seen, a, b, c)
    seen = taps_one(w, rows[1] + at, mask)
    above, below = add_row(above, seen, d, e, f), add_row(start, seen, a, b, c)
    seen = taps_one(w, rows[2] + at, mask)
    above, below = add_row(above, seen, g, h, i), add_row(below, seen, d, e, f)
    return above, add_row(below, taps_one(w, rows[3] + at, mask), g, h, i)


@inner
def pair_two(w: Any, rows: Any, at: int, mask: Any, weights: Any, start: Any) -> Any:
    """``pair_one`` at stride 2."""
    a, b, c, d, e, f, g, h, i = weights
    above = add_row(start, taps_two(w, rows[0] + at, mask), a, b, c)
    above = add_row(above, taps_two(w, rows[1] + at, mask), d, e, f)
    seen = taps_two(w, rows[2] + at, mask)
    above, below = add_row(above, seen, g, h, i), add_row(start, seen, a, b, c)
    below = add_row(below, taps_two(w, rows[3] + at, mask), d, e, f)
    below = add_row(below, taps_two(w, rows[4] + at, mask), g, h, i)
    return in_order(above), in_order(below)


@inner
def input_rows(x: int, row: int, height: int, pitch: int, blank: int) -> Any:
    """Addresses of five rows from ``row`` on."""
    return (
        x + row * pitch if 0 <= row < height else blank,
        x + (row + 1) * pitch if 0 <= row + 1 < height else blank,
        x + (row + 2) * pitch if 0 <= row + 2 < height else blank,
        x + (row + 3) * pitch if 0 <= row + 3 < height else blank,
        x + (row + 4) * pitch if 0 <= row + 4 < height else blank,
    )


@inner
def nine(w: Any, values: int) -> Any:
    """Nine weights, each in all lanes."""
    return (
        load_splat(w, values),
        load_splat(w, values + 4),
        load_splat(w, values + 8),
        load_splat(w, values + 12),
        load_splat(w, values + 16),
        load_splat(w, values + 20),
        load_splat(w, values + 24),
        load_splat(w, values + 28),
        load_splat(w, values + 32),
    )


@apart
def plane_one(
    w: Any, x: int, y: int, values: int, geometry: Geometry, edges: Edges, epilogue: Epilogue
) -> None:
    """One row of W at stride 1."""
    compile_apart()
    height, width, out_height, out_width, _, top, left, _ = geometry
    masked, columns, masks, begin, end, blank = edges
    weights, size = nine(w, values), out_height * out_width
    start = load_splat(w, epilogue[0]) if epilogue[0] != 0 else zeros(w)
    limits, valid = limits_of(epilogue[3]), min(out_width, floats(w))
    for row in range(0, out_height, 2):
        rows, at = input_rows(x - 4 * left, row - top, height, 4 * width, blank), row * out_width
        for column in range(begin, end, floats(w)):
            above, below = pair_one(w, rows, 4 * column, None, weights, start)
            put(w, above, at + column, size, valid, y, epilogue, limits)
            if row + 1 < out_height:
                put(w, below, at + out_width + column, size, valid, y, epilogue, limits)
        for edge in range(masked):
            column, mask = peek_i64(columns + 8 * edge), masks + 16 * floats(w) * edge
            above, below = pair_one(w, rows, 4 * column, mask, weights, start)
            put(w, above, at + column, size, valid, y, epilogue, limits)
            if row + 1 < out_height:
                put(w, below, at + out_width + column, size, valid, y, epilogue, limits)


@apart
def plane_two(
    w: Any, x: int, y: int, values: int, geometry: Geometry, edges: Edges, epilogue: Epilogue
) -> None:
    """``plane_one`` at stride 2."""
    compile_apart()
    height, width, out_height, out_width, _, top, left, _ = geometry
    masked, columns, masks, begin, end, blank = edges
    weights, size = nine(w, values), out_height * out_width
    start = load_splat(w, epilogue[0]) if epilogue[0] != 0 else zeros(w)
    limits, valid = limits_of(epilogue[3]), min(out_width, floats(w))
    for row in range(0, out_height, 2):
        rows, at = input_rows(x - 4 * left, 2 * row - top, height, 4 * width, blank), row * out_width
        for column in range(begin, end, floats(w)):
            above, below = pair_two(w, rows, 8 * column, None, weights, start)
            put(w, above, at + column, size, valid, y, epilogue, limits)
            if row + 1 < out_height:
                put(w, below, at + out_width + column, size, valid, y, epilogue, limits)
        for edge in range(masked):
            column, mask = peek_i64(columns + 8 * edge), masks + 16 * floats(w) * edge
            above, below = pair_two(w, rows, 8 * column, mask, weights, start)
            put(w, above, at + column, size, valid, y, epilogue, limits)
            if row + 1 < out_height:
                put(w, below, at + out_width + column, size, valid, y, epilogue, limits)


@kernel
def rows_share(
    w: Any,
    low: int,
    high: int,
    values: int,
    geometry: Geometry,
    edges: Edges,
    x: Floats,
    y: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``low``..``high`` of y (batch, rows of W, pixels); ``values``: address of nine floats per row."""
    compile_apart()
    rows, stride, multiplier = y.shape[1], geometry[4], geometry[7]
    for plane in range(low, high):
        item = plane // rows
        row = plane - item * rows
        source = address_of(x) + item * x.strides[0] + row // multiplier * x.strides[1]
        target = address_of(y) + item * y.strides[0] + row * y.strides[1]
        beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
        shift = address_of(bias) + 4 * row if bias.size > 0 else 0
        epilogue = (shift, beside if residual.size > 0 else 0, 0, activation)
        if stride == 1:
            plane_one(w, source, target, values + 36 * row, geometry, edges, epilogue)
        else:
            plane_two(w, source, target, values + 36 * row, geometry, edges, epilogue)
