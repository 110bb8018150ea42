"""Weights as masks and packed values, four rows interleaved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_bitmask import bitmask_rows
from simsparse.kernels.gemv_columns import copy_vectors
from simsparse.kernels.gemv_pack import pack_bitmask
from simsparse.kernels.gemv_plain import bitmask_plain
from simsparse.kernels.gemv_simd import tag
from simsparse.kernels.gemv_threads import bitmask_threads
from simsparse.packed.gemv_layout import (
    Array,
    Floats,
    Ints,
    Layout,
    aligned,
    fair_bounds,
    groups_of,
    scratch,
    thread_count,
    whole_scales,
)


@cache
def spread_places() -> Array:
    """(256 · 8,) per 8-bit mask the packed place of each lane, with the sign bit where the lane is kept."""
    places = aligned(256 * 8, np.int8)
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

    def multiply(self, x: Array) -> Floats:
        (m, k), n = self.shape, x.shape[1]
        stride = groups_of(k, self.lanes) * self.lanes
        vectors = scratch(n * stride)
        y = np.empty(4 * self.starts.size * n, np.float32)
        special = copy_vectors(x, vectors.view(np.uint32), stride)
        if special or not self.vectorised:
            self._plain(vectors, stride, y, n)
        else:
            self._fast(vectors, stride, y, n)
        return y.reshape(-1, n)[:m]

    def _plain(self, x: Floats, stride: int, y: Floats, n: int) -> None:
        bitmask_plain(self.lanes, self.starts, self.masks, self.values, self.scales, x, stride, y, n)

    def _fast(self, x: Floats, stride: int, y: Floats, n: int) -> None:
        width = tag(3 if self.lanes == 16 else 2)
        packed = (self.starts, self.masks, self.values, self.scales, spread_places())
        if self.threads == 1:
            bitmask_rows(0, self.starts.size, width, *packed, x, stride, y, n)
        else:
            with thread_count(self.threads):
                bitmask_threads(self.bounds, width, *packed, x, stride, y, n)


def pack_bitmask_layout(rows: CompressedRows, scales: Floats, threads: int, isa: str) -> BitmaskLayout:
    """Compressed rows of stored values as masks of 16 bits where the host is ``isa`` "avx512", else 8."""
    m, k = rows.shape
    lanes = 16 if isa == "avx512" else 8
    groups, chunks = groups_of(m, 4), groups_of(k, lanes)
    masks = aligned(groups * chunks, np.uint64 if lanes == 16 else np.uint32)
    values = aligned(rows.values.size, rows.values.dtype, slack=lanes)
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
