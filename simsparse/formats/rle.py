"""Run-length storage: the zeros before each kept weight in a field of fixed width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import nonzero_slots
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import metadata_field, values_field
from simsparse.formats.kept import Kept, kept_entries
from simsparse.kernels.count_kept import run_padding
from simsparse.kernels.encode_rows import fill_runs


class _RunLengthFormat(SparseFormat):
    """Entries (run, value) in row-major order, rows joined end to end.

    A run counts 0 … 2**run_bits − 1 zeros. A kept weight after z zeros costs ``1 + z // 2**run_bits``
    entries; the extra ones hold the longest run and the value zero, stand for 2**run_bits zeros each, and are
    padding. Zeros after the last kept weight cost nothing: the shape tells them.
    """

    __slots__ = ()

    run_bits: ClassVar[int]

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        padding = self._padding(kept)
        values = np.zeros(kept.nnz + padding, raw.dtype)
        runs = np.empty(values.size, np.int32)
        fill_runs(raw, kept.pointers, kept.columns, self.run_bits, values, runs)
        return {"runs": metadata_field(runs, self.run_bits, padding), "values": values_field(values, padding)}

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        raw = encoded.raw("values")
        slots = nonzero_slots(raw)
        positions = np.cumsum(encoded.indices("runs") + 1) - 1
        return positions[slots], raw[slots]

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = kept_entries(mask)
        padding = self._padding(kept)
        return Footprint(
            value_bits=kept.nnz * value_bits,
            metadata_bits=kept.nnz * self.run_bits,
            padding_bits=padding * (value_bits + self.run_bits),
            stored_values=kept.nnz + padding,
        )

    def _padding(self, kept: Kept) -> int:
        return int(run_padding(kept.pointers, kept.columns, kept.shape[1], self.run_bits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rle4Format(_RunLengthFormat):
    """Run-length code with 4-bit runs: up to 15 zeros before a value, an extra entry for each further 16."""

    name: ClassVar[str] = "rle4"
    run_bits: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rle5Format(_RunLengthFormat):
    """Run-length code with 5-bit runs: up to 31 zeros before a value, an extra entry for each further 32.

    Source: Chen et al., Eyeriss, IEEE JSSC 52(1), 2017, section V-B (there three entries share a 64-bit
    word).
    """

    name: ClassVar[str] = "rle5"
    run_bits: ClassVar[int] = 5
