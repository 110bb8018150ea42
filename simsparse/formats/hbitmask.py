"""Hierarchical bitmask storage: one bit per block of weights, and a mask for each block that is not empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import count_kept
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import kept_entries
from simsparse.kernels.count_mask import used_chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchicalBitmaskFormat(SparseFormat):
    """Blocks of ``block`` consecutive weights in row-major order, rows joined end to end.

    A used last block is stored whole; its mask bits beyond the matrix are padding.
    """

    name: ClassVar[str] = "hbitmask"

    block: int = 64

    def __post_init__(self) -> None:
        expect_parameter(self, "block", 1)

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        blocks = self._blocks(mask)
        bits = np.zeros((blocks, self.block), np.bool_)
        bits.reshape(-1)[: mask.size] = mask.reshape(-1)
        used = np.any(bits, axis=1, keepdims=False)
        padding = blocks * self.block - mask.size if used[-1] else 0
        return {
            "blocks": metadata_field(used, 1),
            "mask": metadata_field(bits[used], 1, padding),
            "values": values_field(kept_entries(mask).values(raw)),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        used = np.flatnonzero(encoded.raw("blocks"))
        block, inside = np.divmod(np.flatnonzero(encoded.raw("mask")), self.block)
        return used[block] * self.block + inside, encoded.raw("values")

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept, blocks = count_kept(mask), self._blocks(mask)
        flat = mask.reshape(-1)
        outside = blocks * self.block - mask.size if flat[(blocks - 1) * self.block :].any() else 0
        return Footprint(
            value_bits=kept * value_bits,
            metadata_bits=blocks + used_chunks(flat, self.block) * self.block - outside,
            padding_bits=outside,
            stored_values=kept,
        )

    def _blocks(self, mask: Mask) -> int:
        return -(-mask.size // self.block)
