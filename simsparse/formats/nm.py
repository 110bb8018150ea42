"""N:M storage: N slots for each group of M consecutive weights of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats.arrays import count_kept, nonzero_slots, tight_width
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries
from simsparse.kernels.count_mask import widest_group
from simsparse.kernels.encode_blocks import fill_groups
from simsparse.pattern import NM, VNM, Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class NmFormat(SparseFormat):
    """``keep`` (value, position) slots per ``group`` weights along k; a position takes ``ceil(log2 group)``.

    Groups with fewer kept weights have padding slots, and so has the last group where k is no multiple of
    ``group``. Positions of a group rise strictly, as 2:4 hardware expects; padding slots take free positions.
    """

    name: ClassVar[str] = "nm"
    shorthand: ClassVar[str] = "{keep}:{group}"

    keep: int = 2
    group: int = 4

    def __post_init__(self) -> None:
        expect_parameter(self, "group", 1, 1 << 16)
        expect_parameter(self, "keep", 0, self.group)

    @classmethod
    def for_pattern(cls, pattern: Pattern | None) -> NmFormat:
        return cls(keep=pattern.keep, group=pattern.group) if isinstance(pattern, NM | VNM) else cls()

    def conform(self, mask: Mask) -> None:
        most = int(widest_group(mask, self.group))
        if most > self.keep:
            raise FormatError(
                f"{self}: expected at most {self.keep} kept weights per group of {self.group}, got {most} "
                f"(prune with the pattern {self.keep}:{self.group})"
            )

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        shape = (mask.shape[0], -(-mask.shape[1] // self.group), self.keep)
        values, positions = np.zeros(shape, raw.dtype), np.zeros(shape, np.uint16)
        if values.size:
            flat = values.reshape(-1), positions.reshape(-1)
            fill_groups(raw, kept.pointers, kept.columns, self.keep, self.group, *flat)
        padding = values.size - kept.nnz
        return {
            "positions": metadata_field(positions, tight_width(self.group), padding),
            "values": values_field(values, padding),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        k, groups = encoded.shape[1], -(-encoded.shape[1] // self.group)
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        positions = slots // max(
            1, self.keep
        )  # group numbers; in place from here, since 2:4 keeps half of all
        beyond = groups * self.group - k
        shift = positions // groups * beyond if beyond else 0
        positions *= self.group
        positions += encoded.raw("positions")[slots]
        positions -= shift
        return positions, raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        slots = mask.shape[0] * -(-mask.shape[1] // self.group) * self.keep
        position_bits = tight_width(self.group)
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=kept * position_bits,
            padding_bits=(slots - kept) * (value_bits + position_bits),
            stored_values=slots,
        )
