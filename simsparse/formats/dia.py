"""Diagonal storage: every diagonal with a kept weight, in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, nonzero_slots
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries
from simsparse.kernels.count_kept import used_diagonals
from simsparse.kernels.encode_rows import fill_diagonals


@dataclass(frozen=True, slots=True, kw_only=True)
class DiaFormat(SparseFormat):
    """Offsets of the used diagonals (column − row + m − 1) and ``min(m, k)`` slots for each of them.

    Meant for banded matrices. It explodes for random masks: those use nearly all m + k − 1 diagonals, so a
    square matrix takes up to twice its dense size.

    Source: Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., section 3.4.
    """

    name: ClassVar[str] = "dia"

    index_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "index_bits", 1, 64)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        used = used_diagonals(kept.pointers, kept.columns, mask.shape[1])
        offsets, rank = np.flatnonzero(used), np.cumsum(used, dtype=np.int64) - 1
        values = np.zeros((offsets.size, min(mask.shape)), raw.dtype)
        fill_diagonals(raw, kept.pointers, kept.columns, rank, values)
        return {
            "offsets": metadata_field(offsets, self._index_bits(mask)),
            "values": values_field(values, padding=values.size - kept.nnz),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        m, k = encoded.shape
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        line, step = np.divmod(slots, min(m, k))
        offset = encoded.indices("offsets")[line] - (m - 1)
        row, column = step - np.minimum(offset, 0), step + np.maximum(offset, 0)
        return row * k + column, raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = kept_entries(mask)
        diagonals = int(np.count_nonzero(used_diagonals(kept.pointers, kept.columns, mask.shape[1])))
        slots = diagonals * min(mask.shape)
        return Footprint(
            value_bits=kept.nnz * value_bits,
            metadata_bits=diagonals * self._index_bits(mask),
            padding_bits=(slots - kept.nnz) * value_bits,
            stored_values=slots,
        )

    def _index_bits(self, mask: Mask) -> int:
        return chosen_width(self.index_bits, sum(mask.shape) - 1, f"{self}: diagonal")
