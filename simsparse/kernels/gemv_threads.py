"""The matrix-vector kernels on several threads: one range of row groups each, balanced when packed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from simsparse.kernels._jit import threaded_kernel
from simsparse.kernels.gemv_bitmask import bitmask_rows
from simsparse.kernels.gemv_bsr import bsr_rows
from simsparse.kernels.gemv_csr import csr_rows, csr_wide_rows
from simsparse.kernels.gemv_dense import GROUP, dense_vector
from simsparse.kernels.gemv_nm import nm_rows
from simsparse.kernels.spmm_threads import prefer_openmp

prefer_openmp()  # before the first parallel kernel runs


Ints = NDArray[np.int64]
Array = NDArray[Any]
Floats = NDArray[np.float32]


@threaded_kernel
def bitmask_threads(
    bounds: Ints,
    tag: Any,
    starts: Ints,
    masks: Array,
    values: Array,
    scales: Floats,
    places: Array,
    x: Floats,
    stride: int,
    y: Floats,
    n: int,
) -> None:
    """``bitmask_rows`` on ranges between ``bounds``."""
    for t in prange(bounds.size - 1):
        bitmask_rows(bounds[t], bounds[t + 1], tag, starts, masks, values, scales, places, x, stride, y, n)


@threaded_kernel
def nm_threads(
    bounds: Ints,
    tag: Any,
    form: Any,
    columns: int,
    words: Array,
    values: Array,
    scales: Floats,
    x: Floats,
    stride: int,
    y: Floats,
    n: int,
) -> None:
    """``nm_rows`` on ranges between ``bounds``."""
    for t in prange(bounds.size - 1):
        nm_rows(bounds[t], bounds[t + 1], tag, form, columns, words, values, scales, x, stride, y, n)


@threaded_kernel
def csr_threads(
    bounds: Ints,
    tag: Any,
    starts: Ints,
    indices: Array,
    values: Array,
    scales: Floats,
    rows: Array,
    x: Floats,
    y: Floats,
) -> None:
    """``csr_rows`` on ranges between ``bounds``."""
    for t in prange(bounds.size - 1):
        csr_rows(bounds[t], bounds[t + 1], tag, starts, indices, values, scales, rows, x, y)


@threaded_kernel
def csr_wide_threads(
    bounds: Ints,
    tag: Any,
    starts: Ints,
    indices: Array,
    values: Array,
    scales: Floats,
    rows: Array,
    x: Floats,
    y: Floats,
) -> None:
    """``csr_wide_rows`` on ranges between ``bounds``."""
    for t in prange(bounds.size - 1):
        csr_wide_rows(bounds[t], bounds[t + 1], tag, starts, indices, values, scales, rows, x, y)


@threaded_kernel
def bsr_threads(
    bounds: Ints,
    tag: Any,
    starts: Ints,
    indices: Array,
    values: Array,
    scales: Floats,
    x: Floats,
    stride: int,
    y: Floats,
    n: int,
) -> None:
    """``bsr_rows`` on ranges between ``bounds``."""
    for t in prange(bounds.size - 1):
        bsr_rows(bounds[t], bounds[t + 1], tag, starts, indices, values, scales, x, stride, y, n)


@threaded_kernel
def dense_threads(
    w: Any,
    threads: int,
    weights: int,
    m: int,
    k: int,
    x: int,
    y: int,
    bias: int,
    residual: int,
    activation: int,
) -> None:
    """``dense_vector`` on as many ranges of whole groups of rows as there are threads."""
    groups = (m + GROUP - 1) // GROUP
    for t in prange(threads):
        low, high = groups * t // threads * GROUP, min(groups * (t + 1) // threads * GROUP, m)
        shift = bias + 4 * low if bias != 0 else 0
        beside = residual + 4 * low if residual != 0 else 0
        dense_vector(w, weights + 4 * k * low, high - low, k, x, y + 4 * low, shift, beside, activation)
