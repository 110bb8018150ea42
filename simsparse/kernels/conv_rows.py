"""Depthwise 3x3 convolution with its nine weights in registers, strides 1 and 2, over padded planes in L1.

Planes are copied with +0 around them, at stride 2 with even and odd columns apart: then every tap of every
vector of outputs is one load without a mask. A column of vectors is walked from top to bottom, so an input
row is loaded once for all the output rows that see it. Several small planes are copied before the first is
summed up: a load that spans two stores has to wait until both have left the store buffer.

Limit. A vector of outputs costs nine FMAs, 4.5 cycles, beside 3 loads at stride 1 and 6 at stride 2 (every
third straddles two cache lines) and a share of the copy: a load, a store and, at stride 2, two shuffles for
each vector of inputs.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, limits_of
from simsparse.kernels.conv_simd import halves_even, halves_odd, in_order
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_first, load_splat, prefetch, store
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
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION, Epilogue, finish_row, read_row, write_row

Geometry = tuple[int, int, int, int, int, int, int, int, int]
"""Height, width; out height, out width; stride; padding above; output rows of a strip; planes copied at a
time; rows of W per channel."""

Tile = tuple[int, int, int, int]
"""Bytes of a plane's tile, of a row of it, and in a row of the first input and of what the first tap sees."""


@inner
def copy_rows(w: Any, x: int, rows: int, width: int, target: int, pitch: int) -> None:
    """``rows`` rows of ``width`` floats to places ``pitch`` bytes apart; +0 behind less than a vector."""
    if width < floats(w):
        for _ in range(rows):
            store(target, load_first(w, x, width))
            x, target = x + 4 * width, target + pitch
        return
    end = 4 * (width - floats(w))
    for _ in range(rows):
        place = 0
        while place < end:
            stay_rolled()
            store(target + place, load(w, x + place))
            place += 4 * floats(w)
        store(target + end, load(w, x + end))
        x, target = x + 4 * width, target + pitch


@inner
def fill_rows(w: Any, rows: int, target: int, bytes_: int) -> None:
    """+0."""
    for place in range(0, rows * bytes_, 4 * floats(w)):
        store(target + place, zeros(w))


@inner
def copy_strip(w: Any, x: int, first: int, rows: int, geometry: Geometry, at: int, tile: Tile) -> None:
    """Rows ``first``.. of a plane to its tile; whole planes leave the rows beyond them as they are: +0."""
    height, width, out_height, _, _, _, strip, _, _ = geometry
    above, until = min(max(-first, 0), rows), max(min(rows, height - first), 0)
    if strip < out_height:
        fill_rows(w, above, at, tile[1])
        fill_rows(w, rows - until, at + until * tile[1], tile[1])
    source = x + 4 * (first + above) * width
    copy_rows(w, source, until - above, width, at + above * tile[1] + tile[2], tile[1])


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
def see_two(w: Any, at: int) -> Any:
    """What three taps see at stride 2, lanes out of order."""
    step = 4 * floats(w)
    a, b, c, d = load(w, at), load(w, at + step), load(w, at + 8), load(w, at + step + 8)
    return halves_even(a, b), halves_odd(a, b), halves_even(c, d)


@inner
def put_vector(w: Any, value: Any, at: int, room: int, valid: int, y: int, limits: Any) -> None:
    """Clip and store a vector at float ``at``, whole where there is room: later ones overwrite the rest."""
    value = minimum(maximum(value, splat(w, limits[0])), splat(w, limits[1]))
    if room - at >= floats(w):
        store(y + 4 * at, value)
    else:
        write_row(w, y + 4 * at, value, valid)


@inner
def walk_one(
    w: Any,
    at: int,
    rows: int,
    weights: Any,
    start: Any,
    y: int,
    width: int,
    room: int,
    limits: Any,
    pitch: int,
    ahead: int,
) -> None:
    """A column of vectors of ``rows`` output rows at stride 1; ``at``: the first row that they see."""
    a, b, c, d, e, f, g, h, i = weights
    valid = min(width, floats(w))
    seen = load(w, at)
    one = fma(seen, a, start)
    seen = load(w, at + 4)
    one = fma(seen, b, one)
    seen = load(w, at + 8)
    above = fma(seen, c, one)
    at += pitch
    seen = load(w, at)
    two, one = mul(seen, d), fma(seen, a, start)
    seen = load(w, at + 4)
    two, one = fma(seen, e, two), fma(seen, b, one)
    seen = load(w, at + 8)
    above, below = add(above, fma(seen, f, two)), fma(seen, c, one)
    for row in range(rows):
        stay_rolled()
        prefetch(w, ahead)
        ahead += 4 * floats(w)
        at += pitch
        seen = load(w, at)
        three, two, one = mul(seen, g), mul(seen, d), fma(seen, a, start)
        seen = load(w, at + 4)
        three, two, one = fma(seen, h, three), fma(seen, e, two), fma(seen, b, one)
        seen = load(w, at + 8)
        total = add(above, fma(seen, i, three))
        above, below = add(below, fma(seen, f, two)), fma(seen, c, one)
        put_vector(w, total, row * width, room, valid, y, limits)


@inner
def walk_two(
    w: Any,
    at: int,
    rows: int,
    weights: Any,
    start: Any,
    y: int,
    width: int,
    room: int,
    limits: Any,
    pitch: int,
    ahead: int,
) -> None:
    """``walk_one`` at stride 2."""
    a, b, c, d, e, f, g, h, i = weights
    valid = min(width, floats(w))
    p, q, r = see_two(w, at)
    above = fma(r, c, fma(q, b, fma(p, a, start)))
    for row in range(rows):
        stay_rolled()
        prefetch(w, ahead)
        prefetch(w, ahead + 8 * floats(w))
        ahead += 16 * floats(w)
        at += pitch
        p, q, r = see_two(w, at)
        total = add(above, fma(r, f, fma(q, e, mul(p, d))))
        at += pitch
        p, q, r = see_two(w, at)
        total = add(total, fma(r, i, fma(q, h, mul(p, g))))
        above = fma(r, c, fma(q, b, fma(p, a, start)))
        put_vector(w, in_order(total), row * width, room, valid, y, limits)


@inner
def sum_plane(
    w: Any,
    at: int,
    rows: int,
    geometry: Geometry,
    tile: Tile,
    values: int,
    shift: int,
    y: int,
    room: int,
    activation: int,
    ahead: int,
) -> None:
    """``rows`` output rows of one row of W; at y ``room`` floats may be written, ``ahead`` is read later."""
    width = geometry[3]
    weights, limits = nine(w, values), limits_of(activation)
    start = load_splat(w, shift) if shift != 0 else zeros(w)
    for first in range(0, width, floats(w)):
        column = max(min(first, width - floats(w)), 0)
        place, target, left = at + tile[3] + 4 * geometry[4] * column, y + 4 * column, room - column
        if geometry[4] == 1:
            walk_one(w, place, rows, weights, start, target, width, left, limits, tile[1], ahead)
        else:
            walk_two(w, place, rows, weights, start, target, width, left, limits, tile[1], ahead)
        ahead += 4 * floats(w) * rows * geometry[4] * geometry[4]


@apart
def finish_plane(w: Any, y: int, size: int, epilogue: Epilogue) -> None:
    """What is more than clipping: a call between the sums would empty all registers."""
    compile_apart()
    _, residual, _, activation = epilogue
    for at in range(0, size, floats(w)):
        valid, place = min(size - at, floats(w)), y + 4 * at
        rest = (0, residual + 4 * at if residual != 0 else 0, 0, activation)
        write_row(w, place, finish_row(w, read_row(w, place, valid), 0, valid, rest), valid)


@kernel
def rows_share(
    w: Any,
    low: int,
    high: int,
    values: int,
    geometry: Geometry,
    tile: Tile,
    x: Floats,
    y: Floats,
    scratch: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``low``..``high`` of x (batch, channels, pixels); ``values``: address of nine floats a row of W.

    ``scratch`` is +0 where nothing was copied to.
    """
    compile_apart()
    _, width, out_height, out_width, stride, top, strip, batch, multiplier = geometry
    channels, size, tiles = x.shape[1], out_height * out_width, address_of(scratch)
    later = residual.size > 0 or activation == GELU
    clipping = NO_ACTIVATION if later else activation
    whole = y.strides[1] == 4 * size and strip == out_height  # else what follows a plane may be done already
    for begin in range(low, high, batch):
        end, source = min(begin + batch, high), 0
        for first in range(0, out_height, strip):
            rows = min(strip, out_height - first)
            for plane in range(begin, end):
                item = plane // channels
                source = address_of(x) + item * x.strides[0] + (plane - item * channels) * x.strides[1]
                place = tiles + (plane - begin) * tile[0]
                copy_strip(w, source, first * stride - top, (rows - 1) * stride + 3, geometry, place, tile)
            coming = source + 4 * width * (first + rows) * stride
            for plane in range(begin, end):
                item = plane // channels
                channel = plane - item * channels
                place = tiles + (plane - begin) * tile[0]
                for row in range(channel * multiplier, (channel + 1) * multiplier):
                    target = address_of(y) + item * y.strides[0] + row * y.strides[1] + 4 * first * out_width
                    after = min(high - item * channels, channels) * multiplier - row
                    room = size * (after if whole else 1) - first * out_width
                    shift = address_of(bias) + 4 * row if bias.size > 0 else 0
                    own = values + 36 * row
                    sum_plane(w, place, rows, geometry, tile, own, shift, target, room, clipping, coming)
                    if later:
                        beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
                        beside += 4 * first * out_width
                        epilogue = (0, beside if residual.size > 0 else 0, 0, activation)
                        finish_plane(w, target, rows * out_width, epilogue)
                coming += 4 * width * rows * stride
