"""Depthwise 3x3 convolution of all but small planes, strides 1 and 2, straight from the image.

A few output rows at a time, from left to right: a row of inputs is loaded once for all the output rows that
see it. Lanes that look over the border left or right are cut off; a row of zeros stands for what is above and
below. Reading a little beyond a plane is harmless between planes; the ends of the first and the last are
copied to where there is room. Planes of a few lines are better off with a channel per lane
(``conv_channels``): what is done once per plane takes 60 cycles.

Limit. A vector of outputs costs nine FMAs, 4.5 cycles. At stride 1, four rows, 4.5 loads go beside them and
1.5 reloads of weights, 4 to 5 cycles, as every second load straddles two cache lines; at stride 2 and two
rows ten loads and 4.5 reloads, 10 cycles, and 7.5 shuffles. Measured: 9 and 18 to 20; the queue of what
waits for operands holds hardly more than the 50 to 60 floating-point operations of one step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, finish_plane, limits_of
from simsparse.kernels.conv_simd import halves_even, halves_odd, in_order, lanes_kept
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat, prefetch, store
from simsparse.kernels.simd_ops import (
    add,
    compile_apart,
    floats,
    fma,
    maximum,
    minimum,
    mul,
    splat,
    stay_rolled,
    zeros,
)
from simsparse.kernels.simd_scalar import address_of, peek_f32, poke_f32
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION

ROWS = (4, 2)
"""Output rows at a time, at strides 1 and 2."""
AHEAD = 2048
"""Bytes ahead that X and Y are asked for: hardware does not foresee rows that are read side by side."""
LEAD = 64
"""Bytes before the row of zeros, as rows are read from left of their start on."""

Geometry = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""Height, width; out height, out width; stride; padding above and left; rows of W per channel; floats that
are read behind a row; bytes from the row of zeros to copied ones, and to a group of outputs."""

Rows = tuple[int, int, int, int]
"""Addresses of a group's first input row, of the second, and of the last; bytes between those inside."""


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


@inner
def see_one(w: Any, at: int, sides: Any) -> Any:
    """What three taps see at stride 1."""
    return (lanes_kept(load(w, at), sides[0]), load(w, at + 4), lanes_kept(load(w, at + 8), sides[1]))


@inner
def see_two(w: Any, at: int, sides: Any) -> Any:
    """What three taps see at stride 2, lanes out of order."""
    step = 4 * floats(w)
    a, b, c, d = (load(w, at), load(w, at + step), load(w, at + 8), load(w, at + step + 8))
    return (
        lanes_kept(halves_even(a, b), sides[0]),
        halves_odd(a, b),
        lanes_kept(halves_even(c, d), sides[1]),
    )


@inner
def tap_row(seen: Any, a: Any, b: Any, c: Any, total: Any) -> Any:
    """``total`` plus three products."""
    return fma(seen[2], c, fma(seen[1], b, fma(seen[0], a, total)))


@inner
def row_of(seen: Any, a: Any, b: Any, c: Any) -> Any:
    """Three products summed up apart: chains of nine would fill the queue of what waits for operands."""
    return fma(seen[2], c, fma(seen[1], b, mul(seen[0], a)))


@inner
def four_rows(w: Any, rows: Rows, weights: Any, start: Any, sides: Any) -> Any:
    """A vector of each of four output rows at stride 1."""
    first, at, last, pitch = rows
    k, m, n, o, p, q, r, s, t = weights
    seen = see_one(w, first, sides)
    a = tap_row(seen, k, m, n, start)
    seen = see_one(w, at, sides)
    a, b = tap_row(seen, o, p, q, a), tap_row(seen, k, m, n, start)
    seen = see_one(w, at + pitch, sides)
    a, b, c = (tap_row(seen, r, s, t, a), tap_row(seen, o, p, q, b), tap_row(seen, k, m, n, start))
    seen = see_one(w, at + 2 * pitch, sides)
    b, c, d = (tap_row(seen, r, s, t, b), tap_row(seen, o, p, q, c), tap_row(seen, k, m, n, start))
    seen = see_one(w, at + 3 * pitch, sides)
    c, d = tap_row(seen, r, s, t, c), tap_row(seen, o, p, q, d)
    return a, b, c, tap_row(see_one(w, last, sides), r, s, t, d)


@inner
def two_rows(w: Any, rows: Rows, weights: Any, start: Any, sides: Any) -> Any:
    """A vector of each of two output rows at stride 2."""
    first, at, last, pitch = rows
    k, m, n, o, p, q, r, s, t = weights
    a = tap_row(see_two(w, first, sides), k, m, n, start)
    a = add(a, row_of(see_two(w, at, sides), o, p, q))
    seen = see_two(w, at + pitch, sides)
    a, b = add(a, row_of(seen, r, s, t)), tap_row(seen, k, m, n, start)
    b = add(b, row_of(see_two(w, at + 2 * pitch, sides), o, p, q))
    b = add(b, row_of(see_two(w, last, sides), r, s, t))
    return in_order(a), in_order(b)


@inner
def put_vector(w: Any, value: Any, y: int, limits: Any) -> None:
    """Clip and store a vector."""
    store(y, minimum(maximum(value, splat(w, limits[0])), splat(w, limits[1])))


@inner
def look(w: Any, rows: Rows, column: int, right: int, step: int, edges: int) -> Any:
    """The group's rows from a column of outputs on, and which lanes see no border left and right."""
    size = 4 * floats(w)
    before = load(w, edges if column == 0 else edges + size)
    behind = load(w, edges + 2 * size if column == right else edges + size)
    move = 4 * step * column
    return (rows[0] + move, rows[1] + move, rows[2] + move, rows[3]), (before, behind)


@inner
def ask(w: Any, rows: int, begin: int, at: int) -> None:
    """Prefetch, a share with each step along a group, as many floats as ``rows`` rows of it have."""
    place = at + AHEAD + 4 * rows * begin
    for line in range(0, 4 * rows * floats(w), 64):
        prefetch(w, place + line)


@inner
def sum_four(
    w: Any, rows: Rows, width: int, weights: Any, start: Any, edges: int, y: int, limits: Any
) -> None:
    """Four output rows at stride 1; less than a vector is followed by what is not meant."""
    right = max(width - floats(w), 0)
    for begin in range(0, width, floats(w)):
        stay_rolled()
        column = min(begin, right)
        here, sides = look(w, rows, column, right, 1, edges)
        ask(w, 4, begin, rows[1])
        ask(w, 4, begin, y)
        a, b, c, d = four_rows(w, here, weights, start, sides)
        to = y + 4 * column
        put_vector(w, a, to, limits)
        put_vector(w, b, to + 4 * width, limits)
        put_vector(w, c, to + 8 * width, limits)
        put_vector(w, d, to + 12 * width, limits)


@inner
def sum_two(
    w: Any, rows: Rows, width: int, weights: Any, start: Any, edges: int, y: int, limits: Any
) -> None:
    """Two output rows at stride 2."""
    right = max(width - floats(w), 0)
    for begin in range(0, width, floats(w)):
        stay_rolled()
        column = min(begin, right)
        here, sides = look(w, rows, column, right, 2, edges)
        ask(w, 8, begin, rows[1])
        ask(w, 2, begin, y)
        a, b = two_rows(w, here, weights, start, sides)
        put_vector(w, a, y + 4 * column, limits)
        put_vector(w, b, y + 4 * (column + width), limits)


@apart
def copy_rows(x: int, first: int, rows: int, geometry: Geometry, target: int) -> None:
    """Rows ``first``.. of a plane one behind the other, +0 where it has none."""
    compile_apart()
    height, width = geometry[0], geometry[1]
    for row in range(first, first + rows):
        inside = row >= 0 and row < height
        for column in range(width):
            poke_f32(target, peek_f32(x + 4 * (row * width + column)) if inside else np.float32(0))
            target += 4


@apart
def copy_floats(x: int, y: int, amount: int) -> None:
    """From one place to another."""
    compile_apart()
    for i in range(amount):
        poke_f32(y + 4 * i, peek_f32(x + 4 * i))


@inner
def place_rows(x: int, first: int, amount: int, geometry: Geometry, lonely: bool, scratch: int) -> Rows:
    """Where the ``amount`` input rows from ``first`` on are; ``scratch``: a row of zeros, room for copies."""
    height, width, left, over, gap = (geometry[0], geometry[1], 4 * geometry[6], geometry[8], geometry[9])
    pitch, end = 4 * width, first + amount
    at, above, below = x + first * pitch, 0, 0
    touching = first <= 0 or end * width + over > height * width
    if (lonely and touching) or first < -1 or end > height + 1:
        at = scratch + gap
        copy_rows(x, first, amount, geometry, at)
        above, below = at, at + (amount - 1) * pitch
    else:
        above = at if first >= 0 else scratch
        below = at + (amount - 1) * pitch if end <= height else scratch
    return above - left, at + pitch - left, below - left, pitch


@inner
def sum_plane(
    w: Any,
    x: int,
    geometry: Geometry,
    values: int,
    shift: int,
    edges: int,
    lonely: bool,
    scratch: int,
    y: int,
    room: int,
    activation: int,
) -> None:
    """The plane at y of one row of W, where ``room`` floats may be written."""
    _, _, height, width, stride, top, _, _, _, _, _ = geometry
    weights, limits = nine(w, values), limits_of(activation)
    start = load_splat(w, shift) if shift != 0 else zeros(w)
    deep, beyond = ROWS[stride - 1], max(floats(w) - width, 0)
    for begin in range(0, height, deep):
        stay_rolled()
        row = min(begin, height - deep)
        rows = place_rows(x, row * stride - top, (deep - 1) * stride + 3, geometry, lonely, scratch)
        to = y + 4 * row * width
        crowded = (row + deep) * width + beyond > room
        if crowded:
            to = scratch + geometry[10]
        if stride == 1:
            sum_four(w, rows, width, weights, start, edges, to, limits)
        else:
            sum_two(w, rows, width, weights, start, edges, to, limits)
        if crowded:
            copy_floats(to, y + 4 * row * width, deep * width)


@kernel
def stream_share(
    w: Any,
    low: int,
    high: int,
    values: int,
    edges: int,
    geometry: Geometry,
    x: Floats,
    y: Floats,
    tile: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``low``..``high`` of x (batch, channels, pixels); ``values``: address of nine floats a row of W.

    ``edges``: address of three vectors of masks: no border left, no border at all, none right. ``tile``
    starts with zeros.
    """
    compile_apart()
    height, width, out_height, out_width, _, _, _, multiplier, over, _, _ = geometry
    channels, size = x.shape[1], out_height * out_width
    alone = over > height * width or abs(x.strides[1]) < 4 * height * width
    later = residual.size > 0 or activation == GELU
    clipping, dense = NO_ACTIVATION if later else activation, y.strides[1] == 4 * size
    for plane in range(low, high):
        item = plane // channels
        channel = plane - item * channels
        source = address_of(x) + item * x.strides[0] + channel * x.strides[1]
        lonely = alone or channel == 0 or channel == channels - 1
        rows_after = min(high - item * channels, channels) * multiplier
        for row in range(channel * multiplier, (channel + 1) * multiplier):
            target = address_of(y) + item * y.strides[0] + row * y.strides[1]
            room = size * (rows_after - row) if dense else size
            shift = address_of(bias) + 4 * row if bias.size > 0 else 0
            place = address_of(tile) + LEAD
            sum_plane(
                w, source, geometry, values + 36 * row, shift, edges, lonely, place, target, room, clipping
            )
            if later:
                beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
                epilogue = (0, beside if residual.size > 0 else 0, 0, activation)
                finish_plane(w, target, size, epilogue)
