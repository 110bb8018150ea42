"""Depthwise 3x3 convolution with a channel in each lane, strides 1 and 2.

Rows of as many channels as a vector has lanes are copied to a tile in L1, a vector per pixel, with +0 around
them. There every tap of every output is a whole aligned vector: no borders, no remainders, no lanes out of
order. Sums gather in a second tile and turn back from there. Planes of whole vectors that are not small are
better off as they are (``conv_stream``): turning costs as much as it spares.

Limit. A vector of outputs costs nine FMAs with operands in L1, 4.5 cycles; eight vectors of pixels take eight
stores, sixteen loads and as many shuffles to turn, 10 cycles, and as much back. That makes 7 cycles at stride
1, 10.7 at stride 2. Measured: 11 and 19 to 22, of which 5 to 6 are the sums; blocks take 17 to 19 cycles, as
every fifth load and every second store straddles two cache lines.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, finish_plane, limits_of
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, load_first, prefetch, store
from simsparse.kernels.simd_ops import (
    compile_apart,
    floats,
    fma,
    maximum,
    minimum,
    splat,
    stay_rolled,
    zeros,
)
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.simd_square import (
    load_columns,
    load_columns_first,
    load_every_second,
    load_repeated,
    store_rows,
    store_rows_first,
)
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION

Geometry = tuple[int, int, int, int, int, int, int, int, int]
"""Height, width; out height, out width; stride; padding above and left; output rows of a strip; pixels from
row to row of the tile."""

Places = tuple[int, int, int, int]
"""Addresses of the tile, of a group's weights and bias, and of the sums."""


@inner
def copy_row(w: Any, square: Any, x: int, step: int, last: int, width: int, tile: int) -> None:
    """A row of channels ``step`` bytes apart, a vector per pixel; +0 behind less than a vector of pixels."""
    size = 4 * floats(w)
    if width < floats(w):
        store(tile, load_columns_first(square, x, step, last, width))
        return
    rest = width - floats(w)
    for pixel in range(0, rest, floats(w)):
        stay_rolled()
        store(tile + pixel * size, load_columns(square, x + 4 * pixel, step, last))
    store(tile + rest * size, load_columns(square, x + 4 * rest, step, last))


@inner
def copy_strip(
    w: Any, square: Any, x: int, step: int, last: int, first: int, rows: int, geometry: Geometry, tile: int
) -> None:
    """Rows ``first``.. to the tile; whole planes leave the rows beyond them as they are: +0."""
    height, width, out_height, _, _, _, left, strip, pitch = geometry
    line, until = 4 * pitch * floats(w), first + rows
    for row in range(first, until):
        if row >= 0 and row < height:
            copy_row(w, square, x + 4 * row * width, step, last, width, tile + 4 * left * floats(w))
        elif strip < out_height:
            for place in range(tile, tile + line, 4 * floats(w)):
                store(place, zeros(w))
        tile += line


@inner
def see(some: Any, at: int, stride: int) -> Any:
    """The pixels that one tap sees of neighbouring outputs, from address ``at`` on."""
    return load(some, at) if stride == 1 else load_every_second(some, at)


@inner
def three(w: Any, some: Any, values: int) -> Any:
    """Weights of a row of taps, for all pixels."""
    size = 4 * floats(w)
    return (
        load_repeated(some, values),
        load_repeated(some, values + size),
        load_repeated(some, values + 2 * size),
    )


@inner
def tap_row(w: Any, some: Any, at: int, stride: int, weights: Any, total: Any) -> Any:
    """``total`` plus three products."""
    size = 4 * floats(w)
    total = fma(see(some, at, stride), weights[0], total)
    total = fma(see(some, at + size, stride), weights[1], total)
    return fma(see(some, at + 2 * size, stride), weights[2], total)


@inner
def sum_rows(
    w: Any, some: Any, stride: int, rows: int, line: int, width: int, places: Places, limits: Any, ahead: int
) -> None:
    """``rows`` output rows, some pixels at a time; what is too much the next row overwrites.

    ``line``: bytes of a row of the tile. As many inputs as are seen here are asked for from ``ahead`` on.
    """
    tile, values, shift, sums = places
    size, step = 4 * floats(w), 4 * floats(some)
    a, b, c = three(w, some, values), three(w, some, values + 3 * size), three(w, some, values + 6 * size)
    start, low, high = load_repeated(some, shift), splat(some, limits[0]), splat(some, limits[1])
    for _ in range(rows):
        at = tile
        for to in range(sums, sums + width * size, step):
            stay_rolled()
            for _ in range(stride * stride):
                prefetch(some, ahead)
                ahead += step
            total = tap_row(w, some, at, stride, a, start)
            total = tap_row(w, some, at + line, stride, b, total)
            total = tap_row(w, some, at + 2 * line, stride, c, total)
            store(to, minimum(maximum(total, low), high))
            at += step * stride
        tile, sums = tile + stride * line, sums + width * size


@inner
def turn_back(w: Any, square: Any, sums: int, pixels: int, y: int, step: int, last: int) -> None:
    """``pixels`` vectors to planes ``step`` bytes apart, from y on; nothing behind them is touched."""
    size, all_lanes = 4 * floats(w), floats(w) - 1
    if pixels < floats(w):
        store_rows_first(load_columns(square, sums, size, all_lanes), y, step, last, pixels)
        return
    rest = pixels - floats(w)
    for pixel in range(0, rest, floats(w)):
        stay_rolled()
        store_rows(load_columns(square, sums + pixel * size, size, all_lanes), y + 4 * pixel, step, last)
    store_rows(load_columns(square, sums + rest * size, size, all_lanes), y + 4 * rest, step, last)


@kernel
def channels_share(
    w: Any,
    some: Any,
    square: Any,
    low: int,
    high: int,
    values: int,
    geometry: Geometry,
    rooms: tuple[int, int],
    x: Floats,
    y: Floats,
    scratch: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Groups ``low``..``high`` of as many channels as lanes, of x and y (batch, channels, pixels).

    ``values``: address of nine vectors of weights per group. ``rooms``: bytes of scratch before the sums and
    before the bias of a group; it is +0 where nothing was copied to.
    """
    compile_apart()
    _, _, out_height, out_width, stride, top, _, strip, pitch = geometry
    line = 4 * pitch * floats(w)
    size, channels = out_height * out_width, x.shape[1]
    groups = (channels + floats(w) - 1) // floats(w)
    later = residual.size > 0 or activation == GELU
    limits = limits_of(NO_ACTIVATION if later else activation)
    tile, step = address_of(scratch), x.strides[1]
    sums, shift = tile + rooms[0], tile + rooms[1]
    for number in range(low, high):
        item = number // groups
        channel = (number - item * groups) * floats(w)
        last = min(channels - channel, floats(w)) - 1
        source = address_of(x) + item * x.strides[0] + channel * step
        target = address_of(y) + item * y.strides[0] + channel * y.strides[1]
        places = (tile, values + 36 * channel, shift, sums)
        coming = source + floats(w) * step if strip == out_height else tile  # small planes lie side by side
        store(shift, load_first(w, address_of(bias) + 4 * channel, last + 1) if bias.size > 0 else zeros(w))
        for first in range(0, out_height, strip):
            rows = min(strip, out_height - first)
            seen = (rows - 1) * stride + 3
            copy_strip(w, square, source, step, last, first * stride - top, seen, geometry, tile)
            if stride == 1:
                sum_rows(w, some, 1, rows, line, out_width, places, limits, coming)
            else:
                sum_rows(w, some, 2, rows, line, out_width, places, limits, coming)
            turn_back(w, square, sums, rows * out_width, target + 4 * first * out_width, y.strides[1], last)
        if later:
            beside = address_of(residual) + item * residual.strides[0] + channel * residual.strides[1]
            for lane in range(last + 1):
                added = beside + lane * residual.strides[1] if residual.size > 0 else 0
                finish_plane(w, target + lane * y.strides[1], size, (0, added, 0, activation))
