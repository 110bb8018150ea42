"""Coordinate storage: row, column and value of each kept weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, count_kept
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class CooFormat(SparseFormat):
    """Coordinates: ``ceil(log2 m) + ceil(log2 k)`` bits per kept weight, or ``index_bits`` each."""

    name: ClassVar[str] = "coo"

    index_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "index_bits", 1, 64)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        row_bits, column_bits = self._widths(mask)
        return {
            "rows": metadata_field(kept.rows(), row_bits),
            "columns": metadata_field(kept.columns, column_bits),
            "values": values_field(kept.values(raw)),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        rows, columns = np.stack((encoded.indices("rows"), encoded.indices("columns")))
        return rows * encoded.shape[1] + columns, encoded.raw("values")

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=kept * sum(self._widths(mask)),
            padding_bits=0,
            stored_values=kept,
        )

    def _widths(self, mask: Mask) -> tuple[int, int]:
        m, k = mask.shape
        return chosen_width(self.index_bits, m, f"{self}: row"), chosen_width(
            self.index_bits, k, f"{self}: column"
        )
