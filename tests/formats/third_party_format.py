"""A format as another package would write it: the three hooks and nothing private."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats import Encoded, Field, Footprint, SparseFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class MineFormat(SparseFormat):
    """Every value with its 64-bit position."""

    name: ClassVar[str] = "mine"

    step: int = 1

    def encode_fields(self, raw: NDArray[Any], mask: NDArray[np.bool_]) -> dict[str, Field]:
        positions = np.flatnonzero(mask).astype(np.uint64)
        return {
            "positions": Field(data=positions, bits=64, role="metadata"),
            "values": Field(data=raw[mask], bits=8 * raw.itemsize, role="value"),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], NDArray[Any]]:
        return encoded.indices("positions"), encoded.raw("values")

    def count_bits(self, mask: NDArray[np.bool_], value_bits: int) -> Footprint:
        kept = int(mask.sum())
        return Footprint(
            value_bits=kept * value_bits, metadata_bits=64 * kept, padding_bits=0, stored_values=kept
        )
