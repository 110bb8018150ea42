"""ELLPACK storage: every row as long as the longest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, nonzero_slots
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries
from simsparse.kernels.count_mask import row_counts
from simsparse.kernels.encode_rows import fill_lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class EllFormat(SparseFormat):
    """m rows of as many (column, value) slots as the fullest row keeps weights; unused slots are padding."""

    name: ClassVar[str] = "ell"

    index_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "index_bits", 1, 64)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        m, width = mask.shape[0], int(kept.counts.max())
        values, indices = np.zeros(m * width, raw.dtype), np.zeros(m * width, np.int32)
        first = np.arange(m, dtype=np.int64) * width
        fill_lanes(raw, kept.pointers, kept.columns, first, 1, values, indices)
        padding = values.size - kept.nnz
        return {
            "columns": metadata_field(indices.reshape(m, width), self._index_bits(mask), padding),
            "values": values_field(values.reshape(m, width), padding),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        width = max(1, raw.size // encoded.shape[0])
        return slots // width * encoded.shape[1] + encoded.indices("columns")[slots], raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        counts = row_counts(mask)
        kept, slots = int(counts.sum()), mask.shape[0] * int(counts.max())
        index_bits = self._index_bits(mask)
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=kept * index_bits,
            padding_bits=(slots - kept) * (value_bits + index_bits),
            stored_values=slots,
        )

    def _index_bits(self, mask: Mask) -> int:
        return chosen_width(self.index_bits, mask.shape[1], f"{self}: column index")
