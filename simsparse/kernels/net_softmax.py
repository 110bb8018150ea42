"""Softmax over contiguous rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_math import exponential
from simsparse.kernels.simd_memory import load, load_ragged, store, store_ragged
from simsparse.kernels.simd_ops import add, floats, lane, maximum, mul, splat, sub, total, zeros
from simsparse.kernels.simd_scalar import address_of


@kernel
def softmax_rows(w: Any, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    """``y[i] = exp(x[i] - max) / sum``; both (rows, n) with contiguous rows, possibly the same memory.

    ``w`` is one vector wide. Lanes beyond a row's end get minus infinity, whose exponential adds nothing.
    """
    step, n = floats(w), x.shape[1]
    whole = n // step * step
    rest = n - whole
    filler = np.zeros(2 * step, np.float32)
    filler[step:] = -np.inf
    beyond = load(w, address_of(filler) + 4 * (step - rest))
    for row in range(x.shape[0]):
        source, target = address_of(x) + row * x.strides[0], address_of(y) + row * y.strides[0]
        most = splat(w, -np.inf)
        for start in range(0, whole, step):
            most = maximum(most, load(w, source + 4 * start))
        if rest > 0:
            most = maximum(most, add(load_ragged(w, source + 4 * whole, rest), beyond))
        largest = lane(most, 0)
        for i in range(1, step):
            largest = max(largest, lane(most, i))
        offset, sums = splat(w, largest), zeros(w)
        for start in range(0, whole, step):
            e = exponential(w, sub(load(w, source + 4 * start), offset))
            store(target + 4 * start, e)
            sums = add(sums, e)
        if rest > 0:
            e = exponential(w, sub(add(load_ragged(w, source + 4 * whole, rest), beyond), offset))
            store_ragged(target + 4 * whole, e, rest)
            sums = add(sums, e)
        factor = splat(w, np.float32(1.0) / total(sums))
        for start in range(0, whole, step):
            store(target + 4 * start, mul(load(w, target + 4 * start), factor))
        if rest > 0:
            store_ragged(target + 4 * whole, mul(load_ragged(w, target + 4 * whole, rest), factor), rest)
