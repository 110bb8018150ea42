"""Block-row storage: whole blocks of weights, one column index each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import chosen_width, nonzero_slots, owners
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import Kept, kept_entries, pointers_of
from simsparse.kernels.count_kept import block_counts
from simsparse.kernels.encode_blocks import fill_blocks
from simsparse.pattern import Block, Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class BsrFormat(SparseFormat):
    """Compressed rows of ``rows`` × ``columns`` blocks; a block is stored if any of its weights is kept.

    Zeros inside stored blocks are padding, and so are the parts of edge blocks that stick out of the matrix.
    """

    name: ClassVar[str] = "bsr"
    shorthand: ClassVar[str] = "{rows}x{columns}"

    rows: int = 4
    columns: int = 1
    index_bits: int | None = None
    pointer_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "rows", 1)
        expect_parameter(self, "columns", 1)
        expect_parameter(self, "index_bits", 1, 64)
        expect_parameter(self, "pointer_bits", 1, 64)

    @classmethod
    def for_pattern(cls, pattern: Pattern | None) -> BsrFormat:
        return cls(rows=pattern.rows, columns=pattern.columns) if isinstance(pattern, Block) else cls()

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        pointers = pointers_of(self._blocks_per_row(kept))
        blocks = int(pointers[-1])
        index_bits, pointer_bits = self._widths(mask, blocks)
        values = np.zeros((blocks, self.rows, self.columns), raw.dtype)
        indices = np.empty(blocks, np.int32)
        fill_blocks(raw, kept.pointers, kept.columns, pointers, values, indices)
        return {
            "pointers": metadata_field(pointers, pointer_bits),
            "columns": metadata_field(indices, index_bits),
            "values": values_field(values, padding=values.size - kept.nnz),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        block_columns = encoded.indices("columns")
        block_rows = owners(np.diff(encoded.indices("pointers")), block_columns.size)
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        block, inside = np.divmod(slots, self.rows * self.columns)
        row = block_rows[block] * self.rows + inside // self.columns
        column = block_columns[block] * self.columns + inside % self.columns
        return row * encoded.shape[1] + column, raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = kept_entries(mask)
        per_row = self._blocks_per_row(kept)
        blocks = int(per_row.sum())
        index_bits, pointer_bits = self._widths(mask, blocks)
        slots = blocks * self.rows * self.columns
        return Footprint(
            value_bits=kept.nnz * value_bits,
            metadata_bits=blocks * index_bits + (per_row.size + 1) * pointer_bits,
            padding_bits=(slots - kept.nnz) * value_bits,
            stored_values=slots,
        )

    def _blocks_per_row(self, kept: Kept) -> NDArray[np.int64]:
        return block_counts(kept.pointers, kept.columns, kept.shape[1], self.rows, self.columns)

    def _widths(self, mask: Mask, blocks: int) -> tuple[int, int]:
        across = -(-mask.shape[1] // self.columns)
        return (
            chosen_width(self.index_bits, across, f"{self}: block column"),
            chosen_width(self.pointer_bits, blocks + 1, f"{self}: row pointer"),
        )
