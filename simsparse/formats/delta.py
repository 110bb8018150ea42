"""Delta storage: distances between kept weights, all as wide as the largest one needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.arrays import index_width, tight_width
from simsparse.formats.base import Encoded, Field, Footprint, Mask, Raw, SparseFormat
from simsparse.formats.fields import metadata_field, values_field
from simsparse.formats.kept import Kept, kept_entries
from simsparse.kernels.count_kept import largest_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaFormat(SparseFormat):
    """The first kept weight's position in ``ceil(log2(m k))`` bits, then distances in ``ceil(log2 d)`` bits.

    d is the largest distance between neighbours in row-major order; a distance is stored less one, so
    neighbours that all touch need no bits. No padding.

    Source: Hoefler et al., Sparsity in deep learning, JMLR 22, 2021, section 2.2.
    """

    name: ClassVar[str] = "delta"

    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        kept = kept_entries(mask)
        positions = np.flatnonzero(mask)
        return {
            "first": metadata_field(positions[:1], index_width(mask.size)),
            "deltas": metadata_field(np.diff(positions) - 1, self._delta_bits(kept)),
            "values": values_field(kept.values(raw)),
        }

    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        steps = np.concatenate((encoded.indices("first"), encoded.indices("deltas") + 1))
        return np.cumsum(steps), encoded.raw("values")

    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        kept = kept_entries(mask)
        first_bits = index_width(mask.size) if kept.nnz else 0
        return Footprint(
            value_bits=kept.nnz * value_bits,
            metadata_bits=first_bits + max(kept.nnz - 1, 0) * self._delta_bits(kept),
            padding_bits=0,
            stored_values=kept.nnz,
        )

    def _delta_bits(self, kept: Kept) -> int:
        return tight_width(int(largest_gap(kept.pointers, kept.columns, kept.shape[1])))
