"""Layer normalisation, tokens as rows or as columns; variance from deviations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, store
from simsparse.kernels.simd_ops import (
    add,
    div,
    floats,
    fma,
    mul,
    splat,
    square_root,
    sub,
    total,
    zeros,
)
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_tile import read_row, write_row

Floats = NDArray[np.float32]
_ROWS = 8


@kernel
def normalise_columns(
    w: Any, x: Floats, y: Floats, scale: Floats, shift: Floats, epsilon: float, spare: Floats
) -> None:
    """Each column of x (features, tokens) to mean 0 and variance 1, times ``scale``, plus ``shift``.

    ``scale`` and ``shift`` are (features,); ``w`` is one vector, and ``spare`` has room for two rows of whole
    vectors. Means and deviations of ``_ROWS`` rows at a time are joined, so that x is read twice only and in
    the order of memory. Source: Chan, Golub and LeVeque, Updating Formulae, 1979.
    """
    features, tokens = x.shape
    step = floats(w)
    means = address_of(spare)
    squares = means + 4 * (-(-tokens // step) * step)
    for start in range(0, tokens, step):
        store(means + 4 * start, zeros(w))
        store(squares + 4 * start, zeros(w))
    for top in range(0, features, _ROWS):
        amount = min(_ROWS, features - top)
        for start in range(0, tokens, step):
            source = address_of(x) + top * x.strides[0] + 4 * start
            mean, square = _moments(w, source, x.strides[0], amount, min(tokens - start, step))
            before = load(w, means + 4 * start)
            away = sub(mean, before)
            share = splat(w, np.float32(amount / (top + amount)))
            store(means + 4 * start, fma(away, share, before))
            square = add(square, load(w, squares + 4 * start))
            apart_by = mul(away, splat(w, np.float32(top * amount / (top + amount))))
            store(squares + 4 * start, fma(away, apart_by, square))
    inverse = splat(w, np.float32(1.0 / features))
    for start in range(0, tokens, step):
        variance = fma(load(w, squares + 4 * start), inverse, splat(w, np.float32(epsilon)))
        store(squares + 4 * start, div(splat(w, 1.0), square_root(variance)))
    for row in range(features):
        source, target = address_of(x) + row * x.strides[0], address_of(y) + row * y.strides[0]
        gain, offset = splat(w, scale[row]), splat(w, shift[row])
        for start in range(0, tokens, step):
            valid = min(tokens - start, step)
            away = sub(read_row(w, source + 4 * start, valid), load(w, means + 4 * start))
            value = fma(mul(away, load(w, squares + 4 * start)), gain, offset)
            write_row(w, target + 4 * start, value, valid)


@inner
def _moments(w: Any, source: int, stride: int, amount: int, valid: int) -> Any:
    """Mean of so many rows, and the sum of squares of what they are away from it."""
    if amount == _ROWS and valid == floats(w):
        a, b = load(w, source), load(w, source + stride)
        c, d = load(w, source + 2 * stride), load(w, source + 3 * stride)
        middle = source + 4 * stride
        e, f = load(w, middle), load(w, middle + stride)
        g, h = load(w, middle + 2 * stride), load(w, middle + 3 * stride)
        total = add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h)))
        mean = mul(total, splat(w, 1.0 / _ROWS))
        a, b, c, d = sub(a, mean), sub(b, mean), sub(c, mean), sub(d, mean)
        e, f, g, h = sub(e, mean), sub(f, mean), sub(g, mean), sub(h, mean)
        first = fma(a, a, fma(b, b, fma(c, c, mul(d, d))))
        return mean, add(first, fma(e, e, fma(f, f, fma(g, g, mul(h, h)))))
    mean, square = zeros(w), zeros(w)
    for row in range(amount):
        mean = add(mean, read_row(w, source + row * stride, valid))
    mean = mul(mean, splat(w, np.float32(1.0 / amount)))
    for row in range(amount):
        away = sub(read_row(w, source + row * stride, valid), mean)
        square = fma(away, away, square)
    return mean, square


@kernel
def normalise_rows(w: Any, x: Floats, y: Floats, scale: Floats, shift: Floats, epsilon: float) -> None:
    """The same for tokens as rows: x (tokens, features)."""
    tokens, features = x.shape
    step = floats(w)
    whole = features // step * step
    for token in range(tokens):
        source, target = address_of(x) + token * x.strides[0], address_of(y) + token * y.strides[0]
        sums = zeros(w)
        for start in range(0, features, step):
            sums = add(sums, read_row(w, source + 4 * start, min(features - start, step)))
        mean = total(sums) / features
        middle, squares = splat(w, mean), zeros(w)
        for start in range(0, whole, step):
            away = sub(read_row(w, source + 4 * start, step), middle)
            squares = fma(away, away, squares)
        variance = np.float64(total(squares))
        for at in range(whole, features):
            variance += (x[token, at] - mean) ** 2
        factor = splat(w, np.float32(1.0 / math.sqrt(variance / features + epsilon)))
        for start in range(0, features, step):
            valid = min(features - start, step)
            away = mul(sub(read_row(w, source + 4 * start, valid), middle), factor)
            value = fma(
                away,
                read_row(w, address_of(scale) + 4 * start, valid),
                read_row(w, address_of(shift) + 4 * start, valid),
            )
            write_row(w, target + 4 * start, value, valid)
