"""Weights in blocks of 4, 8 or 16 output rows and one column."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_bsr import bsr_rows
from simsparse.kernels.gemv_pack import block_starts, pack_bsr
from simsparse.kernels.gemv_plain import bsr_plain
from simsparse.kernels.gemv_simd import tag
from simsparse.kernels.gemv_threads import bsr_threads
from simsparse.packed.arrays import aligned_zeros
from simsparse.packed.gemv_csr import index_dtype
from simsparse.packed.gemv_layout import (
    Array,
    Call,
    Floats,
    Ints,
    Layout,
    as_bits,
    fair_bounds,
    unless_special,
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

    def _bound(self, x: Array, vectors: Floats, y: Floats) -> Call:
        k, n = x.shape
        packed = (self.starts, self.indices, self.values)
        rest: Any = (self.scales, vectors, k, y, n)
        fast = self._on_threads(bsr_rows, bsr_threads, tag(self.tall // 4), *packed, *rest)
        plain = functools.partial(bsr_plain, self.tall, *packed, as_bits(self.values), *rest)
        return unless_special(x, vectors, k, fast, plain)


def pack_bsr_layout(rows: CompressedRows, scales: Floats, threads: int, tall: int) -> BsrLayout:
    """Compressed rows of stored values as ``tall`` x 1 blocks; a block is stored if one weight of it is."""
    k = rows.shape[1]
    starts = block_starts(rows.pointers, rows.columns, tall, k)
    indices = aligned_zeros(int(starts[-1]), index_dtype(k))
    values = aligned_zeros(indices.size * tall, rows.values.dtype)
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
