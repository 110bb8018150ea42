"""Column-compressed storage, in one bank or spread over those of a broadcast machine, with runs if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats.arrays import chosen_width, nonzero_slots, owners
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import expect_parameter, metadata_field, values_field
from simsparse.formats.kept import Kept, kept_entries, pointers_of
from simsparse.kernels.count_kept import bank_column_entries
from simsparse.kernels.encode_columns import fill_bank_columns

_ABSOLUTE = 62  # a shift no gap survives: absolute indices never need padding


@dataclass(frozen=True, slots=True, kw_only=True)
class CscFormat(SparseFormat):
    """Compressed columns. Row o lies in bank ``o % banks`` as local row ``o // banks``; each bank is CSC.

    With ``run_bits`` 0 an entry holds its local row, else the zeros since the last entry of its column: a
    kept weight after z zeros costs ``1 + z // 2**run_bits`` entries, the extra ones (longest run, value zero)
    are padding, and zeros after the last kept weight cost nothing. ``CscFormat(banks=64, run_bits=4,
    pointer_bits=16)`` is EIE's storage. Pointers count inside their bank: k + 1 per bank.

    Source: Han et al., EIE, ISCA 2016, section III.
    """

    name: ClassVar[str] = "csc"

    banks: int = 1
    run_bits: int = 0
    index_bits: int | None = None
    pointer_bits: int | None = None

    def __post_init__(self) -> None:
        expect_parameter(self, "banks", 1)
        expect_parameter(self, "run_bits", 0, 16)
        expect_parameter(self, "index_bits", 1, 64)
        expect_parameter(self, "pointer_bits", 1, 64)
        if self.run_bits and self.index_bits is not None:
            raise FormatError(
                f"csc: expected run_bits or index_bits, got {self.run_bits} and {self.index_bits} (drop one)"
            )

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        entries = self._entries_per_column(kept)
        index_bits, pointer_bits = self._widths(mask, entries)
        first = pointers_of(entries.reshape(-1))
        slots, padding = int(first[-1]), int(first[-1]) - kept.nnz
        values, indices = np.zeros(slots, raw.dtype), np.empty(slots, np.int32)
        starts = first[:-1].reshape(entries.shape)
        fill_bank_columns(raw, kept.pointers, kept.columns, starts, self.run_bits, values, indices)
        pointers = np.concatenate((np.zeros((self.banks, 1), np.int64), np.cumsum(entries, axis=1)), axis=1)
        return {
            "pointers": metadata_field(pointers, pointer_bits),
            "indices": metadata_field(indices, index_bits, padding),
            "values": values_field(values, padding),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        k = encoded.shape[1]
        counts = np.diff(encoded.indices("pointers").reshape(self.banks, k + 1), axis=1).reshape(-1)
        local = encoded.indices("indices")
        if self.run_bits:
            steps = np.cumsum(local + 1)
            before = np.concatenate((np.zeros(1, np.int64), steps))[pointers_of(counts)[:-1]]
            local = steps - np.repeat(before, counts) - 1
        place = owners(counts, local.size)
        positions = (local * self.banks + place // k) * k + place % k
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        return positions[slots], raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = kept_entries(mask)
        entries = self._entries_per_column(kept)
        index_bits, pointer_bits = self._widths(mask, entries)
        slots = int(entries.sum())
        return Footprint(
            value_bits=kept.nnz * value_bits,
            metadata_bits=kept.nnz * index_bits + self.banks * (mask.shape[1] + 1) * pointer_bits,
            padding_bits=(slots - kept.nnz) * (value_bits + index_bits),
            stored_values=slots,
        )

    def _entries_per_column(self, kept: Kept) -> NDArray[np.int64]:
        shift = self.run_bits or _ABSOLUTE
        return bank_column_entries(kept.pointers, kept.columns, kept.shape[1], self.banks, shift)

    def _widths(self, mask: Mask, entries: NDArray[np.int64]) -> tuple[int, int]:
        local_rows = -(-mask.shape[0] // self.banks)
        index_bits = self.run_bits or chosen_width(self.index_bits, local_rows, f"{self}: row index")
        fullest_bank = int(entries.sum(axis=1).max())
        return index_bits, chosen_width(self.pointer_bits, fullest_bank + 1, f"{self}: column pointer")
