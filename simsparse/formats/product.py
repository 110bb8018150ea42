"""``W @ x`` from any stored form. The seam for speed: a faster kernel replaces ``multiply_rows`` only.

Any format's entries become compressed rows once, and one portable kernel multiplies those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import ShapeError
from simsparse.formats.base import Encoded
from simsparse.kernels.spmm import rising, split_positions, spmm_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompressedRows:
    """The stored entries of a matrix (m, k) row by row, padding left out; columns rise inside a row."""

    pointers: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]
    shape: tuple[int, int]


def compress_rows(encoded: Encoded) -> CompressedRows:
    """The entries of ``encoded``, of any format, as compressed rows in its dtype."""
    positions, raw = encoded.format.stored(encoded)
    positions = np.ascontiguousarray(positions, np.int64)
    if not rising(positions):
        order = np.argsort(positions, kind="stable")
        positions, raw = positions[order], raw[order]
    m, k = encoded.shape
    pointers, columns = np.empty(m + 1, np.int64), np.empty(positions.size, np.int32)
    split_positions(positions, k, pointers, columns)
    return CompressedRows(
        pointers=pointers, columns=columns, values=raw.view(encoded.dtype), shape=encoded.shape
    )


def multiply_rows(weights: CompressedRows, x: ArrayLike) -> NDArray[Any]:
    """``W @ x`` with x of shape (k, n) or (k,).

    Accumulates and returns float64 where an operand is float64, float32 for all other floats, int32 for
    operands of at most 8 bits, and int64 for wider integers (integer overflow wraps).

    Raises
    ------
    ShapeError
        If ``x`` does not have k rows.
    """
    operand = np.asarray(x)
    m, k = weights.shape
    if operand.ndim not in (1, 2) or operand.shape[0] != k:
        raise ShapeError(f"multiply: expected x of shape ({k}, n) or ({k},), got {operand.shape}")
    dtype = accumulator(weights.values.dtype, operand.dtype)
    columns = np.ascontiguousarray(operand.reshape(k, -1), dtype)
    y = np.zeros((m, columns.shape[1]), dtype)
    spmm_rows(weights.pointers, weights.columns, weights.values.astype(dtype, copy=False), columns, y)
    return y[:, 0] if operand.ndim == 1 else y


def multiply(encoded: Encoded, x: ArrayLike) -> NDArray[Any]:
    """``W @ x`` from stored weights; see ``multiply_rows`` for shapes, accumulation and errors."""
    return multiply_rows(compress_rows(encoded), x)


def accumulator(weights: np.dtype[Any], x: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype sums are kept in."""
    if weights.kind in "iu" and x.kind in "iu":
        return np.dtype(np.int32 if max(weights.itemsize, x.itemsize) == 1 else np.int64)
    return np.dtype(np.float64 if np.float64 in (weights, x) else np.float32)
