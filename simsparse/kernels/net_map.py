"""Functions of single numbers over contiguous memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_math import error_function, exponential, gelu
from simsparse.kernels.simd_ops import add, div, floats, mul, splat, sub
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_tile import read_row, write_row

ERF, SIGMOID, SILU, GELU = 0, 1, 2, 3
FUNCTIONS: Mapping[str, int] = MappingProxyType({"erf": ERF, "sigmoid": SIGMOID, "silu": SILU, "gelu": GELU})


@inner
def sigmoid(w: Any, v: Any) -> Any:
    """``1 / (1 + exp(-v))``."""
    return div(splat(w, 1.0), add(splat(w, 1.0), exponential(w, sub(splat(w, 0.0), v))))


@kernel
def map_floats(w: Any, source: NDArray[np.float32], target: NDArray[np.float32], function: int) -> None:
    """``target = function(source)``, both flat; ``w`` is one vector, ``function`` one of ``FUNCTIONS``."""
    step, size = floats(w), source.size
    read, write = address_of(source), address_of(target)
    for start in range(0, size, step):
        valid = min(size - start, step)
        v = read_row(w, read + 4 * start, valid)
        if function == ERF:
            v = error_function(w, v)
        elif function == SIGMOID:
            v = sigmoid(w, v)
        elif function == SILU:
            v = mul(v, sigmoid(w, v))
        else:
            v = gelu(w, v)
        write_row(w, write + 4 * start, v, valid)
