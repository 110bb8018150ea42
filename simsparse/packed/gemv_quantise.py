"""Weights in fewer bits: bfloat16 by rounding, int8 with one scale per output row."""

from __future__ import annotations

from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError, ShapeError

WeightType = Literal["fp32", "bf16", "int8"]
STORED: dict[str, np.dtype[Any]] = {
    "fp32": np.dtype(np.float32),
    "bf16": np.dtype(np.uint16),
    "int8": np.dtype(np.int8),
}
"""How each type is held in memory; bfloat16 as its bits."""

_LARGEST = 127


def quantise(
    weights: NDArray[Any], mask: NDArray[np.bool_], dtype: WeightType
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Weights (m, k) as (values (m, k), row_scale (m,)): kept weights are ``values * row_scale[:, None]``.

    Error per kept weight w, on top of rounding to float32: "fp32" none; "bf16" at most ``2**-8 * |w|``
    (round to nearest even, eight significant bits; in the subnormal range at most ``2**-134``); "int8" at
    most ``row_scale / 2 = max|w of the row| / 254``, plus float32 rounding. Pruned weights are zero.

    Raises
    ------
    ShapeError
        If the mask does not have the weights' shape.
    FormatError
        If the type is unknown, or NaN or Inf is to become int8.
    """
    if weights.ndim != 2 or weights.shape != mask.shape:
        raise ShapeError(f"quantise: expected a mask of the weights' shape {weights.shape}, got {mask.shape}")
    rows, columns = np.nonzero(mask)
    kept, scales = quantise_entries(weights[rows, columns], rows, weights.shape[0], dtype)
    values = np.zeros(weights.shape, kept.dtype)
    values[rows, columns] = kept
    return values, scales


def quantise_entries(
    values: NDArray[Any], rows: NDArray[np.int64], m: int, dtype: WeightType
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """The same for stored entries (nnz,) that lie in ``rows`` (nnz,) of m rows; see ``quantise``."""
    if dtype not in STORED:
        raise FormatError(f"quantise: expected dtype fp32, bf16 or int8, got {dtype!r}")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    scales = np.ones(m, np.float32)
    if dtype == "fp32":
        return single, scales
    if dtype == "bf16":
        with np.errstate(over="ignore", invalid="ignore"):
            return single.astype(ml_dtypes.bfloat16).view(np.uint16), scales
    if not np.all(np.isfinite(single)):
        raise FormatError(
            "quantise: expected finite weights for int8, got NaN or Inf (use dtype bf16 or fp32)"
        )
    largest = np.zeros(m, np.float32)
    np.maximum.at(largest, rows, np.abs(single))
    # below the smallest normal number a scale would lose the bits that the bound counts on
    scales = np.maximum(largest / np.float32(_LARGEST), np.finfo(np.float32).tiny)
    scales[largest == 0] = 1
    integers = np.rint(single / scales[rows])
    return np.clip(integers, -_LARGEST, _LARGEST).astype(np.int8), scales
