"""Depthwise 3x3 convolution with its nine weights in registers, straight from the image, strides 1 and 2.

Two output rows at a time, one vector each: an input row that both see is loaded once. Rows beyond the image
are a row of zeros elsewhere; columns beyond it are masked, in the few vectors at the ends of a row. Stride 2
picks every second float of two loads with one shuffle, whose order of lanes only the sums are cured of.

Limit. Two output vectors cost 18 FMAs, 9 cycles, beside 12 loads at stride 1 (every third straddles two cache
lines: 8 cycles), or 20 loads (half of them straddle: 15 cycles) and 17 shuffles at stride 2. Measured on AVX2
with planes of 112 squared at stride 1: 18 cycles. Weights and sums are more than the registers, and pairs
overlap only as far as a core looks ahead. Ends of rows cost more, and below 17 columns all vectors are ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import overload

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, limits_of
from simsparse.kernels.conv_simd import halves_even, halves_mixed, halves_odd, in_order, load_where
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat, store
from simsparse.kernels.simd_ops import add, compile_apart, floats, fma, maximum, minimum, mul, splat, zeros
from simsparse.kernels.simd_scalar import address_of, peek_i64
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION, Epilogue, finish_row, read_row, write_row

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
def row_sum(seen: Any, a: Any, b: Any, c: Any) -> Any:
    """One row of the window; rows are summed apart, since a core looks ahead no further than two vectors."""
    return fma(seen[2], c, fma(seen[1], b, mul(seen[0], a)))


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
    above, below = add(above, row_sum(seen, d, e, f)), add_row(start, seen, a, b, c)
    seen = taps_one(w, rows[2] + at, mask)
    above, below = add(above, row_sum(seen, g, h, i)), add(below, row_sum(seen, d, e, f))
    return above, add(below, row_sum(taps_one(w, rows[3] + at, mask), g, h, i))


@inner
def pair_two(w: Any, rows: Any, at: int, mask: Any, weights: Any, start: Any) -> Any:
    """``pair_one`` at stride 2."""
    a, b, c, d, e, f, g, h, i = weights
    above = add_row(start, taps_two(w, rows[0] + at, mask), a, b, c)
    above = add(above, row_sum(taps_two(w, rows[1] + at, mask), d, e, f))
    seen = taps_two(w, rows[2] + at, mask)
    above, below = add(above, row_sum(seen, g, h, i)), add_row(start, seen, a, b, c)
    below = add(below, row_sum(taps_two(w, rows[3] + at, mask), d, e, f))
    below = add(below, row_sum(taps_two(w, rows[4] + at, mask), g, h, i))
    return in_order(above), in_order(below)


@inner
def input_row(x: int, row: int, height: int, pitch: int, blank: int) -> int:
    """The address of a row, or of zeros."""
    return x + row * pitch if 0 <= row < height else blank


@inner
def input_rows(x: int, row: int, height: int, pitch: int, blank: int) -> Any:
    """Addresses of five rows from ``row`` on."""
    if row >= 0 and row + 4 < height:
        first = x + row * pitch
        return first, first + pitch, first + 2 * pitch, first + 3 * pitch, first + 4 * pitch
    return (
        input_row(x, row, height, pitch, blank),
        input_row(x, row + 1, height, pitch, blank),
        input_row(x, row + 2, height, pitch, blank),
        input_row(x, row + 3, height, pitch, blank),
        input_row(x, row + 4, height, pitch, blank),
    )


@inner
def clipped(w: Any, value: Any, limits: Any) -> Any:
    """The value between two limits."""
    return minimum(maximum(value, splat(w, limits[0])), splat(w, limits[1]))


@inner
def put_edge(w: Any, value: Any, at: int, size: int, valid: int, y: int) -> None:
    """Store a vector at float ``at`` of a plane of ``size``; later ones overwrite its surplus."""
    if size - at >= floats(w):
        store(y + 4 * at, value)
    else:
        write_row(w, y + 4 * at, value, valid)


@apart
def finish_plane(w: Any, y: int, size: int, epilogue: Epilogue) -> None:
    """What is more than clipping: a call between the sums would empty all registers."""
    compile_apart()
    _, residual, _, activation = epilogue
    for at in range(0, size, floats(w)):
        valid, place = min(size - at, floats(w)), y + 4 * at
        rest = (0, residual + 4 * at if residual != 0 else 0, 0, activation)
        write_row(w, place, finish_row(w, read_row(w, place, valid), 0, valid, rest), valid)


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
    w: Any, x: int, y: int, values: int, geometry: Geometry, edges: Edges, shift: int, activation: int
) -> None:
    """One row of W at stride 1."""
    compile_apart()
    height, width, out_height, out_width, _, top, left, _ = geometry
    masked, columns, masks, begin, end, blank = edges
    weights, size = nine(w, values), out_height * out_width
    start = load_splat(w, shift) if shift != 0 else zeros(w)
    limits, valid = limits_of(activation), min(out_width, floats(w))
    for first in range(0, out_height, 2):
        row = min(first, out_height - 2)
        rows, at = input_rows(x - 4 * left, row - top, height, 4 * width, blank), row * out_width
        for column in range(begin, end, floats(w)):
            above, below = pair_one(w, rows, 4 * column, None, weights, start)
            store(y + 4 * (at + column), clipped(w, above, limits))
            store(y + 4 * (at + out_width + column), clipped(w, below, limits))
        for edge in range(masked):
            column, mask = peek_i64(columns + 8 * edge), masks + 16 * floats(w) * edge
            above, below = pair_one(w, rows, 4 * column, mask, weights, start)
            put_edge(w, clipped(w, above, limits), at + column, size, valid, y)
            put_edge(w, clipped(w, below, limits), at + out_width + column, size, valid, y)


@apart
def plane_two(
    w: Any, x: int, y: int, values: int, geometry: Geometry, edges: Edges, shift: int, activation: int
) -> None:
    """``plane_one`` at stride 2."""
    compile_apart()
    height, width, out_height, out_width, _, top, left, _ = geometry
    masked, columns, masks, begin, end, blank = edges
    weights, size = nine(w, values), out_height * out_width
    start = load_splat(w, shift) if shift != 0 else zeros(w)
    limits, valid = limits_of(activation), min(out_width, floats(w))
    for first in range(0, out_height, 2):
        row = min(first, out_height - 2)
        rows, at = input_rows(x - 4 * left, 2 * row - top, height, 4 * width, blank), row * out_width
        for column in range(begin, end, floats(w)):
            above, below = pair_two(w, rows, 8 * column, None, weights, start)
            store(y + 4 * (at + column), clipped(w, above, limits))
            store(y + 4 * (at + out_width + column), clipped(w, below, limits))
        for edge in range(masked):
            column, mask = peek_i64(columns + 8 * edge), masks + 16 * floats(w) * edge
            above, below = pair_two(w, rows, 8 * column, mask, weights, start)
            put_edge(w, clipped(w, above, limits), at + column, size, valid, y)
            put_edge(w, clipped(w, below, limits), at + out_width + column, size, valid, y)


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
    """Planes ``low``..``high`` of y (batch, rows of W, pixels); ``values``: address of nine floats a row."""
    compile_apart()
    rows, stride, multiplier = y.shape[1], geometry[4], geometry[7]
    for plane in range(low, high):
        item = plane // rows
        row = plane - item * rows
        source = address_of(x) + item * x.strides[0] + row // multiplier * x.strides[1]
        target = address_of(y) + item * y.strides[0] + row * y.strides[1]
        beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
        shift = address_of(bias) + 4 * row if bias.size > 0 else 0
        later = residual.size > 0 or activation == GELU
        operands = (values + 36 * row, geometry, edges, shift, NO_ACTIVATION if later else activation)
        if stride == 1:
            plane_one(w, source, target, *operands)
        else:
            plane_two(w, source, target, *operands)
        if later:
            epilogue = (0, beside if residual.size > 0 else 0, 0, activation)
            finish_plane(w, target, y.shape[2], epilogue)
