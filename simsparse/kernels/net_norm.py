"""Layer normalisation, tokens as rows or as columns; variance from deviations, in two passes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import apart
from simsparse.kernels.simd_memory import load_splat
from simsparse.kernels.simd_ops import (
    add,
    compile_apart,
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


@kernel
def normalise_columns(
    wide: Any, narrow: Any, x: Floats, y: Floats, scale: Floats, shift: Floats, epsilon: float
) -> None:
    """Each column of x (features, tokens) to mean 0 and variance 1, times ``scale``, plus ``shift``.

    ``scale`` and ``shift`` are (features,). Whole panels are ``wide``, the rest goes by vectors, ``narrow``.
    """
    tokens = x.shape[1]
    whole = tokens // floats(wide) * floats(wide)
    for start in range(0, whole, floats(wide)):
        _normalise_panel(wide, x, y, scale, shift, epsilon, start, floats(wide))
    for start in range(whole, tokens, floats(narrow)):
        _normalise_panel(narrow, x, y, scale, shift, epsilon, start, min(tokens - start, floats(narrow)))


@apart
def _normalise_panel(
    w: Any, x: Floats, y: Floats, scale: Floats, shift: Floats, epsilon: float, start: int, valid: int
) -> None:
    compile_apart()
    features = x.shape[0]
    inverse = splat(w, np.float32(1.0 / features))
    source, target = address_of(x) + 4 * start, address_of(y) + 4 * start
    sums = zeros(w)
    for row in range(features):
        sums = add(sums, read_row(w, source + row * x.strides[0], valid))
    mean, squares = mul(sums, inverse), zeros(w)
    for row in range(features):
        away = sub(read_row(w, source + row * x.strides[0], valid), mean)
        squares = fma(away, away, squares)
    spread = square_root(fma(squares, inverse, splat(w, np.float32(epsilon))))
    factor = div(splat(w, 1.0), spread)
    for row in range(features):
        away = mul(sub(read_row(w, source + row * x.strides[0], valid), mean), factor)
        gain, offset = load_splat(w, address_of(scale) + 4 * row), load_splat(w, address_of(shift) + 4 * row)
        write_row(w, target + row * y.strides[0], fma(away, gain, offset), valid)


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
