"""Dense storage: every weight in its place, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import count_kept, nonzero_slots
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import values_field


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFormat(SparseFormat):
    """All m × k values in row-major order; the zeros of removed weights are padding."""

    name: ClassVar[str] = "dense"

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        values = raw * mask  # integer product: keeps bits, clears removed weights
        return {"values": values_field(values, padding=mask.size - count_kept(mask))}

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        return slots, raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=0,
            padding_bits=(mask.size - kept) * value_bits,
            stored_values=mask.size,
        )
