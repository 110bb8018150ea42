"""Attention head by head, a few queries at a time: scores, softmax and context never leave the caches.

Everything runs along queries, which lie side by side: scores are kept with a key per row, so that the softmax
of a query is a column and needs no sum across lanes. Both products are the same loop, rows of a matrix whose
elements are spread to all lanes times rows of a tile: with 6 rows and 2 vectors 12 FMAs for 8 loads, 12 sums
in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd import Width
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_math import exponential
from simsparse.kernels.simd_memory import load, load_first, load_splat, store, store_first
from simsparse.kernels.simd_ops import (
    add,
    compile_apart,
    div,
    floats,
    fma,
    maximum,
    mul,
    splat,
    sub,
    zeros,
)
from simsparse.kernels.simd_scalar import address_of, peek_f32, poke_f32

Heads = NDArray[np.float32]
"""(batch, heads, features, tokens)"""


@kernel
def attend(
    w: Any,
    queries: Heads,
    keys: Heads,
    values: Heads,
    out: Heads,
    mask: Heads,
    scale: float,
    spare: NDArray[np.float32],
) -> None:
    """``out = softmax(scale · queriesᵀ keys + mask) valuesᵀ``, all with features before tokens.

    ``mask`` is (batch, heads, keys, queries or 1), or without elements; its axes may have stride 0. Tokens of
    ``out`` and of a mask by queries lie side by side. ``spare`` has room for ``spare_floats``.
    """
    batch, heads, features, tokens = queries.shape
    count, step = keys.shape[3], 4 * floats(w)
    scores = address_of(spare)
    tile = scores + count * step
    factor = tile + features * step
    for b in range(batch):
        for h in range(heads):
            k = address_of(keys) + b * keys.strides[0] + h * keys.strides[1]
            v = address_of(values) + b * values.strides[0] + h * values.strides[1]
            beside = address_of(mask) + b * mask.strides[0] + h * mask.strides[1]
            place = address_of(out) + b * out.strides[0] + h * out.strides[1]
            for start in range(0, tokens, floats(w)):
                valid = min(tokens - start, floats(w))
                _read_tile(w, queries[b, h], start, valid, tile)
                store(factor, splat(w, scale))
                row, term = keys.strides[3], keys.strides[2]
                _multiply(w, k, row, term, count, features, tile, scores, step, floats(w), factor)
                if mask.size > 0:
                    each = mask.shape[3] > 1
                    _add_mask(w, beside + 4 * start * each, mask.strides[2], each, count, valid, scores)
                _softmax(w, scores, count, factor)
                row, term, target = values.strides[2], values.strides[3], place + 4 * start
                rows = out.shape[2]
                _multiply(w, v, row, term, rows, count, scores, target, out.strides[2], valid, factor)


def spare_floats(w: Width, features: int, keys: int) -> int:
    """Memory that ``attend`` needs: scores, queries and factors of a tile."""
    return w.floats * (keys + features + 1)


@inner
def _read(w: Any, address: int, valid: int) -> Any:
    """The first ``valid`` floats, then +0."""
    return load(w, address) if valid == floats(w) else load_first(w, address, valid)


@inner
def _write(w: Any, address: int, value: Any, valid: int) -> None:
    if valid == floats(w):
        store(address, value)
    else:
        store_first(address, value, valid)


@inner
def _read_tile(w: Any, head: Any, start: int, valid: int, tile: int) -> None:
    """Queries from ``start`` on; columns beyond get +0."""
    source = address_of(head) + start * head.strides[1]
    for _ in range(head.shape[0]):
        if head.strides[1] == 4:
            store(tile, _read(w, source, valid))
        else:
            store(tile, zeros(w))
            for i in range(valid):
                poke_f32(tile + 4 * i, peek_f32(source + i * head.strides[1]))
        source += head.strides[0]
        tile += 4 * floats(w)


@apart
def _multiply(
    w: Any,
    a: int,
    row: int,
    term: int,
    rows: int,
    terms: int,
    tile: int,
    out: int,
    out_row: int,
    valid: int,
    factor: int,
) -> None:
    """``out = factor · (A @ tile)``; element (r, t) of A is at ``a + r · row + t · term``, in bytes."""
    compile_apart()
    scale = load(w, factor)
    while rows > 0:
        amount = 6 if rows >= 6 and rows != 8 else 4 if rows >= 4 else 1
        if amount == 6:
            _six_rows(w, a, row, term, terms, tile, out, out_row, valid, scale)
        elif amount == 4:
            _four_rows(w, a, row, term, terms, tile, out, out_row, valid, scale)
        else:
            total = zeros(w)
            for t in range(terms):
                total = fma(load_splat(w, a + t * term), load(w, tile + t * 4 * floats(w)), total)
            _write(w, out, mul(total, scale), valid)
        a, out, rows = a + amount * row, out + amount * out_row, rows - amount


@inner
def _six_rows(
    w: Any, a: int, row: int, term: int, terms: int, tile: int, out: int, out_row: int, valid: int, scale: Any
) -> None:
    s0, s1, s2, s3, s4, s5 = zeros(w), zeros(w), zeros(w), zeros(w), zeros(w), zeros(w)
    b = a + 3 * row
    for _ in range(terms):
        x = load(w, tile)
        s0, s1 = fma(load_splat(w, a), x, s0), fma(load_splat(w, a + row), x, s1)
        s2, s3 = fma(load_splat(w, a + 2 * row), x, s2), fma(load_splat(w, b), x, s3)
        s4, s5 = fma(load_splat(w, b + row), x, s4), fma(load_splat(w, b + 2 * row), x, s5)
        a, b, tile = a + term, b + term, tile + 4 * floats(w)
    for total in (s0, s1, s2, s3, s4, s5):
        _write(w, out, mul(total, scale), valid)
        out += out_row


@inner
def _four_rows(
    w: Any, a: int, row: int, term: int, terms: int, tile: int, out: int, out_row: int, valid: int, scale: Any
) -> None:
    s0, s1, s2, s3 = zeros(w), zeros(w), zeros(w), zeros(w)
    b = a + 2 * row
    for _ in range(terms):
        x = load(w, tile)
        s0, s1 = fma(load_splat(w, a), x, s0), fma(load_splat(w, a + row), x, s1)
        s2, s3 = fma(load_splat(w, b), x, s2), fma(load_splat(w, b + row), x, s3)
        a, b, tile = a + term, b + term, tile + 4 * floats(w)
    for total in (s0, s1, s2, s3):
        _write(w, out, mul(total, scale), valid)
        out += out_row


@inner
def _add_mask(w: Any, mask: int, row: int, each: bool, count: int, valid: int, scores: int) -> None:
    """One number per key, or per key and query."""
    for j in range(count):
        beside = _read(w, mask + j * row, valid) if each else load_splat(w, mask + j * row)
        place = scores + j * 4 * floats(w)
        store(place, add(load(w, place), beside))


@inner
def _softmax(w: Any, scores: int, count: int, factor: int) -> None:
    """``exp(score - largest)`` of each column in place; one over their sums goes to ``factor``."""
    step = 4 * floats(w)
    most = load(w, scores)
    for j in range(1, count):
        most = maximum(most, load(w, scores + j * step))
    sums = zeros(w)
    for j in range(count):
        e = exponential(w, sub(load(w, scores + j * step), most))
        store(scores + j * step, e)
        sums = add(sums, e)
    store(factor, div(splat(w, 1.0), sums))
