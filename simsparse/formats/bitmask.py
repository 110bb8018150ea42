"""Bitmask storage: one bit per weight says whether it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import count_kept
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import metadata_field, values_field
from simsparse.formats.kept import kept_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class BitmaskFormat(SparseFormat):
    """m × k mask bits in row-major order, then the kept values in the same order."""

    name: ClassVar[str] = "bitmask"

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        return {"mask": metadata_field(mask, 1), "values": values_field(kept_entries(mask).values(raw))}

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        return np.flatnonzero(encoded.raw("mask")), encoded.raw("values")

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = count_kept(mask)
        return Footprint(
            value_bits=kept * value_bits, metadata_bits=mask.size, padding_bits=0, stored_values=kept
        )
