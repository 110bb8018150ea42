"""The kept entries of a mask in row-major order: where encoders and most closed forms start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels.count_mask import row_counts
from simsparse.kernels.encode_rows import fill_values, kept_columns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """Row pointers ``(m + 1,)`` and columns ``(nnz,)`` of a mask of shape ``(m, k)``."""

    pointers: NDArray[np.int64]
    columns: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def nnz(self) -> int:
        """Kept weights."""
        return self.columns.size

    @property
    def counts(self) -> NDArray[np.int64]:
        """Kept weights of each row."""
        return np.diff(self.pointers)

    def rows(self) -> NDArray[np.int32]:
        """Row of each kept weight."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), self.counts)

    def values(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Kept values of ``raw`` (m, k) in row-major order."""
        values = np.empty(self.nnz, raw.dtype)
        fill_values(raw, self.pointers, self.columns, values)
        return values


def kept_entries(mask: NDArray[np.bool_]) -> Kept:
    """The skeleton of ``mask`` (m, k)."""
    pointers = pointers_of(row_counts(mask))
    return Kept(pointers=pointers, columns=kept_columns(mask, int(pointers[-1])), shape=mask.shape)


def pointers_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Running sums that start at 0: where each of ``counts`` begins, and the total.

    >>> pointers_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
