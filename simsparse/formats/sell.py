"""SELL-C-σ storage: ELLPACK per slice of C rows, rows sorted by length inside windows of σ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, index_width, nonzero_slots
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries, pointers_of
from simsparse.kernels.count_mask import row_counts
from simsparse.kernels.encode_rows import fill_lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class SellFormat(SparseFormat):
    """Slices of ``slice_rows`` (C) rows, each as wide as its fullest row, stored column by column.

    With ``sigma`` > 1 the rows of each window of ``sigma`` are sorted by kept weights, and the row order is
    stored. The last slice is filled up to C rows. Pointers give the first slot of each slice.

    Source: Kreutzer et al., A unified sparse matrix data format, SIAM J. Sci. Comput. 36(5), 2014.
    """

    name: ClassVar[str] = "sell"

    slice_rows: int = 32
    sigma: int = 1
    index_bits: int | None = None
    pointer_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "slice_rows", 1)
        expect_parameter(self, "sigma", 1)
        expect_parameter(self, "index_bits", 1, 64)
        expect_parameter(self, "pointer_bits", 1, 64)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        order = self._order(kept.counts)
        pointers = self._pointers(kept.counts[order])
        slots = int(pointers[-1])
        index_bits, pointer_bits = self._widths(mask, slots)
        values, indices = np.zeros(slots, raw.dtype), np.zeros(slots, np.int32)
        slice_, lane = np.divmod(np.arange(order.size), self.slice_rows)
        first = np.empty(order.size, np.int64)
        first[order] = pointers[slice_] + lane
        fill_lanes(raw, kept.pointers, kept.columns, first, self.slice_rows, values, indices)
        fields = {
            "pointers": metadata_field(pointers, pointer_bits),
            "columns": metadata_field(indices, index_bits, slots - kept.nnz),
            "values": values_field(values, slots - kept.nnz),
        }
        if self.sigma > 1:
            fields["rows"] = metadata_field(order, index_width(order.size))
        return fields

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        raw, pointers = encoded.raw("values"), encoded.indices("pointers")
        slots = nonzero_slots(raw)
        slice_ = np.searchsorted(pointers, slots, side="right") - 1
        place = slice_ * self.slice_rows + (slots - pointers[slice_]) % self.slice_rows
        rows = encoded.indices("rows")[place] if self.sigma > 1 else place
        return rows * encoded.shape[1] + encoded.indices("columns")[slots], raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        counts = row_counts(mask)
        kept = int(counts.sum())
        pointers = self._pointers(counts[self._order(counts)])
        slots, rows = int(pointers[-1]), mask.shape[0]
        index_bits, pointer_bits = self._widths(mask, slots)
        order_bits = rows * index_width(rows) if self.sigma > 1 else 0
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=kept * index_bits + pointers.size * pointer_bits + order_bits,
            padding_bits=(slots - kept) * (value_bits + index_bits),
            stored_values=slots,
        )

    def _order(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = np.arange(counts.size, dtype=np.int64)
        return rows if self.sigma == 1 else np.lexsort((-counts, rows // self.sigma))

    def _pointers(self, sorted_counts: NDArray[np.int64]) -> NDArray[np.int64]:
        widths = np.maximum.reduceat(sorted_counts, np.arange(0, sorted_counts.size, self.slice_rows))
        return pointers_of(widths * self.slice_rows)

    def _widths(self, mask: Mask, slots: int) -> tuple[int, int]:
        return (
            chosen_width(self.index_bits, mask.shape[1], f"{self}: column index"),
            chosen_width(self.pointer_bits, slots + 1, f"{self}: slice pointer"),
        )
