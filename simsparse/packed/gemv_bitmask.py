"""Weights as masks and packed values, four rows interleaved."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_bitmask import bitmask_rows
from simsparse.kernels.gemv_pack import pack_bitmask
from simsparse.kernels.gemv_plain import bitmask_plain
from simsparse.kernels.gemv_simd import tag
from simsparse.kernels.gemv_threads import bitmask_threads
from simsparse.packed.arrays import aligned_zeros
from simsparse.packed.gemv_layout import (
    Array,
    Call,
    Floats,
    Ints,
    Layout,
    fair_bounds,
    groups_of,
    unless_special,
    whole_scales,
)


@functools.cache
def spread_places() -> Array:
    """(256 · 8,) per 8-bit mask the packed place of each lane, with the sign bit where the lane is kept."""
    places = aligned_zeros(256 * 8, np.int8)
    for mask in range(256):
        for lane in range(8):
            if mask >> lane & 1:
                places[8 * mask + lane] = (mask & ((1 << lane) - 1)).bit_count() - 128
    return places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BitmaskLayout(Layout):
    """``masks`` (groups · chunks,) hold four masks of ``lanes`` bits each; values follow in that order."""

    lanes: int
    vectorised: bool
    starts: Ints
    masks: Array

    @property
    def stride(self) -> int:
        """k in whole masks."""
        return groups_of(self.shape[1], self.lanes) * self.lanes

    def _bound(self, x: Array, vectors: Floats, y: Floats) -> Call:
        packed = (self.starts, self.masks, self.values, self.scales)
        rest = (vectors, self.stride, y, x.shape[1])
        width = tag(3 if self.lanes == 16 else 2)
        fast = self._on_threads(bitmask_rows, bitmask_threads, width, *packed, spread_places(), *rest)
        plain = functools.partial(bitmask_plain, self.lanes, *packed, *rest)
        return unless_special(x, vectors, self.stride, fast if self.vectorised else plain, plain)


def pack_bitmask_layout(rows: CompressedRows, scales: Floats, threads: int, isa: str) -> BitmaskLayout:
    """Compressed rows of stored values as masks of 16 bits where the host is ``isa`` "avx512", else 8."""
    m, k = rows.shape
    lanes = 16 if isa == "avx512" else 8
    groups, chunks = groups_of(m, 4), groups_of(k, lanes)
    masks = aligned_zeros(groups * chunks, np.uint64 if lanes == 16 else np.uint32)
    values = aligned_zeros(rows.values.size + lanes, rows.values.dtype)
    pack_bitmask(rows.pointers, rows.columns, rows.values, lanes, masks.reshape(groups, chunks), values)
    starts = np.ascontiguousarray(rows.pointers[:-1:4])
    # a chunk takes as long whether its mask is full or empty, so groups weigh the same
    bounds = fair_bounds(np.ones(groups, np.int64), threads)
    return BitmaskLayout(
        shape=rows.shape,
        bounds=bounds,
        scales=whole_scales(scales, 4 * groups),
        values=values,
        lanes=lanes,
        vectorised=isa != "plain",
        starts=starts,
        masks=masks,
    )
