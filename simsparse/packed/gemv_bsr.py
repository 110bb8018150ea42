"""Weights in blocks of 4, 8 or 16 output rows and one column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_bsr import bsr_rows
from simsparse.kernels.gemv_columns import copy_vectors
from simsparse.kernels.gemv_pack import block_starts, pack_bsr
from simsparse.kernels.gemv_plain import bsr_plain
from simsparse.kernels.gemv_simd import tag
from simsparse.kernels.gemv_threads import bsr_threads
from simsparse.packed.gemv_csr import index_dtype
from simsparse.packed.gemv_layout import (
    Array,
    Floats,
    Ints,
    Layout,
    aligned,
    as_bits,
    fair_bounds,
    scratch,
    thread_count,
    whole_scales,
)

HEIGHTS = (16, 8, 4)
"""Rows per block that the kernel knows, best first."""

_BLOCKS_PER_GROUP = 8  # what the start and the end of a block row cost, in blocks; only shares depend on it


def fitting_height(rows: int) -> int:
    """The tallest known block that blocks of ``rows`` rows are made of, else the smallest."""
    return next((height for height in HEIGHTS if rows % height == 0), HEIGHTS[-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BsrLayout(Layout):
    """Block b of column ``indices[b]`` has ``tall`` values; block row g has blocks ``starts[g]`` … next."""

    tall: int
    starts: Ints
    indices: Array

    def multiply(self, x: Array) -> Floats:
        (m, k), n = self.shape, x.shape[1]
        vectors = scratch(n * k)
        y = np.empty(self.scales.size * n, np.float32)
        if copy_vectors(x, vectors.view(np.uint32), k):
            packed = (self.starts, self.indices, self.values, as_bits(self.values), self.scales)
            bsr_plain(self.tall, *packed, vectors, k, y, n)
        else:
            self._fast(vectors, k, y, n)
        return y.reshape(n, -1)[:, :m].T

    def _fast(self, x: Floats, stride: int, y: Floats, n: int) -> None:
        width = tag(self.tall // 4)
        packed = (self.starts, self.indices, self.values, self.scales, x, stride, y, n)
        if self.threads == 1:
            bsr_rows(0, self.starts.size - 1, width, *packed)
        else:
            with thread_count(self.threads):
                bsr_threads(self.bounds, width, *packed)


def pack_bsr_layout(rows: CompressedRows, scales: Floats, threads: int, tall: int) -> BsrLayout:
    """Compressed rows of stored values as ``tall`` x 1 blocks; a block is stored if one weight of it is."""
    k = rows.shape[1]
    starts = block_starts(rows.pointers, rows.columns, tall, k)
    indices = aligned(int(starts[-1]), index_dtype(k))
    values = aligned(indices.size * tall, rows.values.dtype)
    pack_bsr(rows.pointers, rows.columns, rows.values, tall, k, starts, indices, values)
    return BsrLayout(
        shape=rows.shape,
        bounds=fair_bounds(np.diff(starts) + _BLOCKS_PER_GROUP, threads),
        scales=whole_scales(scales, (starts.size - 1) * tall),
        values=values,
        tall=tall,
        starts=starts,
        indices=indices,
    )
