"""Row-compressed storage: column and value of each kept weight, and where each row starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, count_kept, owners
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrFormat(SparseFormat):
    """Compressed rows: ``ceil(log2 k)`` bits per column and m + 1 pointers of ``ceil(log2(nnz + 1))`` bits.

    ``index_bits`` and ``pointer_bits`` fix the widths instead, such as 32 for a GPU library.
    """

    name: ClassVar[str] = "csr"

    index_bits: int | None = None
    pointer_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "index_bits", 1, 64)
        expect_parameter(self, "pointer_bits", 1, 64)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        index_bits, pointer_bits = self._widths(mask, kept.nnz)
        return {
            "pointers": metadata_field(kept.pointers, pointer_bits),
            "columns": metadata_field(kept.columns, index_bits),
            "values": values_field(kept.values(raw)),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        columns = encoded.indices("columns")
        rows = owners(np.diff(encoded.indices("pointers")), columns.size)
        return rows * encoded.shape[1] + columns, encoded.raw("values")

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        index_bits, pointer_bits = self._widths(mask, kept)
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=kept * index_bits + (mask.shape[0] + 1) * pointer_bits,
            padding_bits=0,
            stored_values=kept,
        )

    def _widths(self, mask: Mask, nnz: int) -> tuple[int, int]:
        return (
            chosen_width(self.index_bits, mask.shape[1], f"{self}: column index"),
            chosen_width(self.pointer_bits, nnz + 1, f"{self}: row pointer"),
        )
