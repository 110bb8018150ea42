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
    fours = _fours(n)
    left = (n - 4 * fours) * (n > 4 * fours)
    return fours + (left > 0), 4 * fours + left


@inner
def _fours(n: Any) -> Any:
    """Passes of three or four columns."""
    return (n + 1) // 4


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
        fours = 4 * _fours(n)
        for j in range(0, fours, 4):
            fourth = min(3, n - j - 1)  # of three, the third twice
            vectors = (x, j * stride, stride, fourth * stride)
            a, b, c, d = _four(width, (indices, values), first, last, vectors)
            a, b, c, d = mul(a, scale), mul(b, scale), mul(c, scale), mul(d, scale)
            if fourth == 3:
                store_columns(at + 4 * j, row, (a, b, c, d))
            else:
                store_columns(at + 4 * j, row, (a, b))
                store_columns(at + 4 * j + 8, row, (c,))
        if n - fours == 2:
            a, b = _two(width, (indices, values), first, last, (x, fours * stride, stride))
            store_columns(at + 4 * fours, row, (mul(a, scale), mul(b, scale)))
        elif n - fours == 1:
            a = mul(_one(width, (indices, values), first, last, x, fours * stride), scale)
            if n == 1:
                store(at, a)
            else:
                store_columns(at + 4 * fours, row, (a,))


@inner
def _one(width: Any, blocks: Any, first: int, last: int, x: Any, xs: int) -> Any:
    """The sums of one vector: four of them hide the latency of the FMA."""
    a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
    fours = first + (last - first) // 4 * 4
    for block in range(first, fours, 4):
        a = fma(_weights(width, blocks, block, 0), _input(width, blocks, block, x, xs), a)
        b = fma(_weights(width, blocks, block + 1, 1), _input(width, blocks, block + 1, x, xs), b)
        c = fma(_weights(width, blocks, block + 2, 2), _input(width, blocks, block + 2, x, xs), c)
        d = fma(_weights(width, blocks, block + 3, 3), _input(width, blocks, block + 3, x, xs), d)
    for block in range(fours, last):
        a = fma(_weights(width, blocks, block, 1), _input(width, blocks, block, x, xs), a)
    return add(add(a, b), add(c, d))


@inner
def _two(width: Any, blocks: Any, first: int, last: int, vectors: Any) -> Any:
    """The sums of two vectors: four of each, or two where 16 registers hold no more."""
    a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
    e, f, g, h = zeros(width), zeros(width), zeros(width), zeros(width)
    low = floats(width) < HEIGHT
    at_once = 4 if low else 2
    steps = first + (last - first) // at_once * at_once
    for block in range(first, steps, at_once):
        a, b = _both(width, blocks, block, 0, vectors, a, b)
        c, d = _both(width, blocks, block + 1, 1, vectors, c, d)
        if low:
            e, f = _both(width, blocks, block + 2, 2, vectors, e, f)
            g, h = _both(width, blocks, block + 3, 3, vectors, g, h)
    for block in range(steps, last):
        a, b = _both(width, blocks, block, 1, vectors, a, b)
    return add(add(a, c), add(e, g)), add(add(b, d), add(f, h))


@inner
def _both(width: Any, blocks: Any, block: int, place: int, vectors: Any, a: Any, b: Any) -> Any:
    """One block with two vectors: ``vectors`` are x, where the first starts, and floats to the second."""
    x, xs, stride = vectors
    w = _weights(width, blocks, block, place)
    a = fma(w, _input(width, blocks, block, x, xs), a)
    return a, fma(w, _input(width, blocks, block, x, xs + stride), b)


@inner
def _four(width: Any, blocks: Any, first: int, last: int, vectors: Any) -> Any:
    """The sums of four vectors; two of each if they are short."""
    ones = (zeros(width), zeros(width), zeros(width), zeros(width))
    others = ones
    low = floats(width) < HEIGHT
    at_once = 4 if low else 1
    steps = first + (last - first) // at_once * at_once
    for block in range(first, steps, at_once):
        ones = _each(width, blocks, block, 0, vectors, ones)
        if low:
            others = _each(width, blocks, block + 1, 1, vectors, others)
            ones = _each(width, blocks, block + 2, 2, vectors, ones)
            others = _each(width, blocks, block + 3, 3, vectors, others)
    for block in range(steps, last):
        ones = _each(width, blocks, block, 1, vectors, ones)
    (a, b, c, d), (e, f, g, h) = ones, others
    return add(a, e), add(b, f), add(c, g), add(d, h)


@inner
def _each(width: Any, blocks: Any, block: int, place: int, vectors: Any, sums: Any) -> Any:
    """One block with four vectors, of which the last has its own distance from the first."""
    x, xs, stride, fourth = vectors
    a, b, c, d = sums
    w = _weights(width, blocks, block, place)
    a = fma(w, _input(width, blocks, block, x, xs), a)
    b = fma(w, _input(width, blocks, block, x, xs + stride), b)
    c = fma(w, _input(width, blocks, block, x, xs + 2 * stride), c)
    return a, b, c, fma(w, _input(width, blocks, block, x, xs + fourth), d)


@inner
def _weights(width: Any, blocks: Any, block: int, place: int) -> Any:
    """A block's weights, and a request for later ones where its ``place`` in a step begins a line."""
    _, values = blocks
    at = block * floats(width)
    if place * floats(width) * values.itemsize % LINE_BYTES == 0:
        prefetch(values, at + AHEAD_BYTES // values.itemsize)
    return load_weights(width, values, at)


@inner
def _input(width: Any, blocks: Any, block: int, x: Any, xs: int) -> Any:
    """The one input of a block, in all lanes."""
    indices, _ = blocks
    return splat(width, weight(x, xs + number(indices, block)))
