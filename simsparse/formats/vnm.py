"""V:N:M storage: V rows share four columns of each group of M, and each row keeps N of the four."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats.arrays import count_kept, nonzero_slots, tight_width
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.kernels.count_mask import vector_columns, widest_group
from simsparse.kernels.encode_blocks import choose_columns, fill_vectors
from simsparse.pattern import VNM, Pattern

_COLUMNS = VNM.COLUMNS
_PLACE_BITS = tight_width(_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class VnmFormat(SparseFormat):
    """Per block of ``rows`` × ``group`` weights four column positions, then ``keep`` slots per row.

    A column position takes ``ceil(log2 group)`` bits, a slot its value and 2 bits for its place among the
    four. Padding: slots without a kept weight, columns no kept weight uses, and the last block filled up to
    ``rows`` rows.

    Source: Castro et al., VENOM, SC 2023, section 4.
    """

    name: ClassVar[str] = "vnm"
    shorthand: ClassVar[str] = "{rows}:{keep}:{group}"

    rows: int = 64
    keep: int = 2
    group: int = 8

    def __post_init__(self) -> None:
        expect_parameter(self, "rows", 1)
        expect_parameter(self, "keep", 1, _COLUMNS)
        expect_parameter(self, "group", _COLUMNS)

    @classmethod
    def for_pattern(cls, pattern: Pattern | None) -> VnmFormat:
        if not isinstance(pattern, VNM):
            return cls()
        return cls(rows=pattern.rows, keep=pattern.keep, group=pattern.group)

    def conform(self, mask: Mask) -> None:
        way_out = f"(prune with the pattern v{self.rows}:{self.keep}:{self.group})"
        most = int(widest_group(mask, self.group))
        if most > self.keep:
            raise FormatError(
                f"{self}: expected at most {self.keep} kept weights per row and group, got {most} {way_out}"
            )
        _, most = vector_columns(mask, self.rows, self.group)
        if most > _COLUMNS:
            raise FormatError(
                f"{self}: expected at most {_COLUMNS} used columns per block, got {most} {way_out}"
            )

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        blocks, groups = self._blocks(mask.shape)
        used, _ = vector_columns(mask, self.rows, self.group)
        chosen = np.zeros((blocks, groups, _COLUMNS), np.int32)
        choose_columns(mask, self.rows, self.group, chosen)
        shape = (blocks * self.rows, groups, self.keep)
        values, places = np.zeros(shape, raw.dtype), np.zeros(shape, np.uint8)
        fill_vectors(raw, mask, self.group, self.rows, chosen, values, places)
        padding = values.size - count_kept(mask)
        return {
            "columns": metadata_field(chosen, tight_width(self.group), chosen.size - int(used)),
            "places": metadata_field(places, _PLACE_BITS, padding),
            "values": values_field(values, padding),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        groups = self._blocks(encoded.shape)[1]
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        row, group = np.divmod(slots // self.keep, groups)
        chosen = (row // self.rows * groups + group) * _COLUMNS + encoded.raw("places")[slots]
        column = group * self.group + encoded.raw("columns")[chosen]
        return row * encoded.shape[1] + column, raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        blocks, groups = self._blocks(mask.shape)
        used, _ = vector_columns(mask, self.rows, self.group)
        column_bits, slots = tight_width(self.group), blocks * self.rows * groups * self.keep
        free_columns = blocks * groups * _COLUMNS - used
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=int(used) * column_bits + kept * _PLACE_BITS,
            padding_bits=int(free_columns) * column_bits + (slots - kept) * (value_bits + _PLACE_BITS),
            stored_values=slots,
        )

    def _blocks(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return -(-shape[0] // self.rows), -(-shape[1] // self.group)
