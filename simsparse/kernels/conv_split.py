"""Stride 2 taken out of an image in one pass over it, so that products read consecutive floats.

Windows see an image sorted into four by whether its rows and columns are even: stride 2 is stride 1 in each.
A 1x1 convolution needs only one of the four. Gathering every second float instead takes three times a copy,
for each tap.

Rows are read and written in whole vectors: what is too much the next row overwrites, or nobody reads. A run
of channels writes nothing behind its own, where another thread may be at work.

Limit. A pair of vectors is two loads, four shuffles and two stores: 4 cycles for 64 bytes of x, no less than
L3 takes to bring them.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats
from simsparse.kernels.conv_simd import evens, odds
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, load_first, store, store_first
from simsparse.kernels.simd_ops import compile_apart, floats
from simsparse.kernels.simd_scalar import address_of


@inner
def read_pair(two: Any, source: int, end: int) -> Any:
    """A pair of vectors, as much of it as there is before ``end``."""
    amount = (end - source) // 4
    return load(two, source) if amount >= floats(two) else load_first(two, source, amount)


@inner
def write_until(target: int, value: Any, end: int, size: int) -> None:
    """Store ``size`` floats, or as many as there is room for before ``end``."""
    room = (end - target) // 4
    if room >= size:
        store(target, value)
    else:
        store_first(target, value, room)


@kernel
def split_image(
    two: Any, low: int, high: int, x: Floats, parts: Floats, height: int, width: int, part: int
) -> None:
    """Channels ``low``..``high`` of one image x (channels, height · width) to ``parts`` (channels, 4 · part).

    A part has rows of (width + 1) / 2 floats and room for one more vector pair behind them.
    """
    compile_apart()
    row_bytes = 4 * ((width + 1) // 2)
    end = address_of(x) + (x.shape[0] - 1) * x.strides[0] + 4 * x.shape[1]
    for channel in range(low, high):
        source = address_of(x) + channel * x.strides[0]
        target = address_of(parts) + channel * parts.strides[0]
        for row in range(height):
            even = target + 8 * part * (row % 2) + row // 2 * row_bytes
            for column in range(0, width, floats(two)):
                pair = read_pair(two, source + 4 * column, end)
                store(even + 2 * column, evens(pair))
                store(even + 4 * part + 2 * column, odds(pair))
            source += 4 * width


@kernel
def sample_image(
    two: Any, low: int, high: int, x: Floats, y: Floats, height: int, width: int, down: int, step: int
) -> None:
    """Every ``down``-th row and ``step``-th column (1 or 2) of channels ``low``..``high`` of one image.

    x is (channels, height · width), y (channels, pixels) is dense.
    """
    compile_apart()
    row_bytes = 4 * ((width + step - 1) // step)
    plane = (height + down - 1) // down * row_bytes
    target, until = address_of(y) + low * plane, address_of(y) + high * plane
    end = address_of(x) + (x.shape[0] - 1) * x.strides[0] + 4 * x.shape[1]
    for channel in range(low, high):
        source = address_of(x) + channel * x.strides[0]
        for row in range(0, height, down):
            for column in range(0, width, floats(two)):
                pair = read_pair(two, source + 4 * (row * width + column), end)
                if step == 1:
                    write_until(target + 4 * column, pair, until, floats(two))
                else:
                    write_until(target + 2 * column, evens(pair), until, floats(two) // 2)
            target += row_bytes
