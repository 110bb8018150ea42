"""Blocks of 4, 8 or 16 output rows times vectors: one value of ``x``, splat, meets a whole block column.

Limit: the bytes. A 16x1 block is two loads of weights and one splat, 1.5 cycles for 16 multiplications. Four
vectors share the loads of a block: as long as its multiplications take.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import AHEAD_BYTES, load_weights, number, prefetch, weight, width_of
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import LINE_BYTES, store, store_columns
from simsparse.kernels.simd_ops import add, floats, fma, mul, splat, zeros
from simsparse.kernels.simd_scalar import address_of

HEIGHT = 16
"""Rows of the tallest blocks."""

AnyNumber = TypeVar("AnyNumber", bound=Any)


def block_passes(n: AnyNumber) -> tuple[AnyNumber, AnyNumber]:
    """Passes over the weights for n columns, and the columns that they multiply in all.

    Three or four columns pass together, as do two.
    """
    fours = (n + 1) // 4
    left = (n - 4 * fours) * (n > 4 * fours)
    return fours + (left > 0), 4 * fours + left


@kernel
def bsr_rows(
    begin: int,
    end: int,
    tag: Any,
    starts: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """Block rows, each as tall as ``width_of(tag)``; x is flat (n, stride), finite; y is flat (rows, n)."""
    width = width_of(tag)
    tall = floats(width)
    row, to = 4 * n, address_of(y)
    for group in range(begin, end):
        first, last = starts[group], starts[group + 1]
        scale, at = load_weights(width, scales, group * tall), to + group * tall * row
        fours = (n + 1) // 4 * 4
        for j in range(0, fours, 4):
            fourth = min(3, n - j - 1)  # of three, the third twice
            a, b, c, d = _four(width, indices, values, first, last, x, j * stride, stride, fourth * stride)
            a, b, c, d = mul(a, scale), mul(b, scale), mul(c, scale), mul(d, scale)
            if fourth == 3:
                store_columns(at + 4 * j, row, (a, b, c, d))
            else:
                store_columns(at + 4 * j, row, (a, b))
                store_columns(at + 4 * j + 8, row, (c,))
        if n - fours == 2:
            a, b = _two(width, indices, values, first, last, x, fours * stride, stride)
            store_columns(at + 4 * fours, row, (mul(a, scale), mul(b, scale)))
        elif n - fours == 1:
            a = mul(_one(width, indices, values, first, last, x, fours * stride), scale)
            if n == 1:
                store(at, a)
            else:
                store_columns(at + 4 * fours, row, (a,))


@inner
def _one(width: Any, indices: Any, values: Any, first: int, last: int, x: Any, xs: int) -> Any:
    """The sums of one vector: four of them hide the latency of the FMA."""
    a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
    fours = first + (last - first) // 4 * 4
    for block in range(first, fours, 4):
        a = fma(_weights(width, values, block, 0), _input(width, x, xs, indices, block), a)
        b = fma(_weights(width, values, block + 1, 1), _input(width, x, xs, indices, block + 1), b)
        c = fma(_weights(width, values, block + 2, 2), _input(width, x, xs, indices, block + 2), c)
        d = fma(_weights(width, values, block + 3, 3), _input(width, x, xs, indices, block + 3), d)
    for block in range(fours, last):
        a = fma(_weights(width, values, block, 1), _input(width, x, xs, indices, block), a)
    return add(add(a, b), add(c, d))


@inner
def _two(width: Any, indices: Any, values: Any, first: int, last: int, x: Any, xs: int, stride: int) -> Any:
    """The sums of two vectors: four of each, or two where 16 registers hold no more."""
    a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
    e, f, g, h = zeros(width), zeros(width), zeros(width), zeros(width)
    low = floats(width) < HEIGHT
    at_once = 4 if low else 2
    steps = first + (last - first) // at_once * at_once
    for block in range(first, steps, at_once):
        a, b = _both(width, indices, values, block, 0, x, xs, stride, a, b)
        c, d = _both(width, indices, values, block + 1, 1, x, xs, stride, c, d)
        if low:
            e, f = _both(width, indices, values, block + 2, 2, x, xs, stride, e, f)
            g, h = _both(width, indices, values, block + 3, 3, x, xs, stride, g, h)
    for block in range(steps, last):
        a, b = _both(width, indices, values, block, 1, x, xs, stride, a, b)
    return add(add(a, c), add(e, g)), add(add(b, d), add(f, h))


@inner
def _both(
    width: Any,
    indices: Any,
    values: Any,
    block: int,
    place: int,
    x: Any,
    xs: int,
    stride: int,
    a: Any,
    b: Any,
) -> Any:
    """One block with two vectors."""
    w = _weights(width, values, block, place)
    a = fma(w, _input(width, x, xs, indices, block), a)
    b = fma(w, _input(width, x, xs + stride, indices, block), b)
    return a, b


@inner
def _four(
    width: Any, indices: Any, values: Any, first: int, last: int, x: Any, xs: int, stride: int, fourth: int
) -> Any:
    """The sums of four vectors, the last ``fourth`` floats behind the first; two of each if short."""
    a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
    e, f, g, h = zeros(width), zeros(width), zeros(width), zeros(width)
    low = floats(width) < HEIGHT
    at_once = 4 if low else 1
    steps = first + (last - first) // at_once * at_once
    for block in range(first, steps, at_once):
        a, b, c, d = _each(width, indices, values, block, 0, x, xs, stride, fourth, a, b, c, d)
        if low:
            e, f, g, h = _each(width, indices, values, block + 1, 1, x, xs, stride, fourth, e, f, g, h)
            a, b, c, d = _each(width, indices, values, block + 2, 2, x, xs, stride, fourth, a, b, c, d)
            e, f, g, h = _each(width, indices, values, block + 3, 3, x, xs, stride, fourth, e, f, g, h)
    for block in range(steps, last):
        a, b, c, d = _each(width, indices, values, block, 1, x, xs, stride, fourth, a, b, c, d)
    return add(a, e), add(b, f), add(c, g), add(d, h)


@inner
def _each(
    width: Any,
    indices: Any,
    values: Any,
    block: int,
    place: int,
    x: Any,
    xs: int,
    stride: int,
    fourth: int,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
) -> Any:
    """One block with four vectors."""
    w = _weights(width, values, block, place)
    a = fma(w, _input(width, x, xs, indices, block), a)
    b = fma(w, _input(width, x, xs + stride, indices, block), b)
    c = fma(w, _input(width, x, xs + 2 * stride, indices, block), c)
    d = fma(w, _input(width, x, xs + fourth, indices, block), d)
    return a, b, c, d


@inner
def _weights(width: Any, values: Any, block: int, place: int) -> Any:
    """A block's weights, and a request for later ones where its ``place`` in a step begins a line."""
    at = block * floats(width)
    if place * floats(width) * values.itemsize % LINE_BYTES == 0:
        prefetch(values, at + AHEAD_BYTES // values.itemsize)
    return load_weights(width, values, at)


@inner
def _input(width: Any, x: Any, xs: int, indices: Any, block: int) -> Any:
    """The one input of a block, in all lanes."""
    return splat(width, weight(x, xs + number(indices, block)))
