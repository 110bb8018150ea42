"""Weights row by row, eight rows of similar length side by side, with 16-bit columns where k allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_columns import copy_rows, copy_vectors
from simsparse.kernels.gemv_csr import csr_rows, csr_wide_rows
from simsparse.kernels.gemv_pack import pack_csr
from simsparse.kernels.gemv_simd import tag
from simsparse.kernels.gemv_threads import csr_threads, csr_wide_threads
from simsparse.packed.arrays import aligned_zeros
from simsparse.packed.gemv_layout import (
    Array,
    Call,
    Floats,
    Ints,
    Layout,
    fair_bounds,
    groups_of,
    whole_scales,
)

_ROWS = _WIDE = 8
_STEPS_PER_GROUP = 4  # what the start and the end of a group cost, in steps; only shares depend on it


def index_dtype(columns: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """The narrowest column numbers that reach ``columns`` itself, which stands for "no column"."""
    return np.dtype(np.uint16) if columns < 1 << 16 else np.dtype(np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CsrLayout(Layout):
    """``indices`` and values (steps, 8); group g takes steps ``starts[g]`` … ``starts[g + 1]``.

    Lane j of group g is row ``rows[8 g + j]``; ``scales`` stand in that order too.
    """

    starts: Ints
    indices: Array
    rows: Array

    def _sizes(self, n: int) -> tuple[int, int]:
        wide = 1 if n == 1 else _WIDE
        return wide * (self.shape[1] + 1), wide * self.rows.size

    def _rows(self, y: Floats, n: int) -> Floats:
        return y.reshape(self.rows.size, -1)[: self.shape[0], :n]

    def _bound(self, x: Array, vectors: Floats, y: Floats) -> Call:
        bits = vectors.view(np.uint32)
        packed = (tag(2), self.starts, self.indices, self.values, self.scales, self.rows, vectors, y)
        if x.shape[1] == 1:
            product, after = self._on_threads(csr_rows, csr_threads, *packed), self.shape[1] + 1

            def one() -> None:
                copy_vectors(x, bits, after)
                product()

            return one
        wide = self._on_threads(csr_wide_rows, csr_wide_threads, *packed)

        def several() -> None:
            copy_rows(x, bits)
            wide()

        return several


def pack_csr_layout(rows: CompressedRows, scales: Floats, threads: int) -> CsrLayout:
    """Compressed rows of stored values, longest row first."""
    m, k = rows.shape
    groups = groups_of(m, _ROWS)
    lengths = np.zeros(groups * _ROWS, np.int64)
    lengths[:m] = np.diff(rows.pointers)
    order = np.argsort(-lengths, kind="stable").astype(np.uint32)
    steps = lengths[order].reshape(groups, _ROWS).max(axis=1)
    starts = np.concatenate(([0], np.cumsum(steps)))
    indices = aligned_zeros(int(starts[-1]) * _ROWS, index_dtype(k))
    indices[:] = k
    values = aligned_zeros(indices.size, rows.values.dtype)
    pack_csr(rows.pointers, rows.columns, rows.values, order, starts, indices, values)
    return CsrLayout(
        shape=rows.shape,
        bounds=fair_bounds(steps + _STEPS_PER_GROUP, threads),
        scales=whole_scales(whole_scales(scales, order.size)[order], order.size),
        values=values,
        starts=starts,
        indices=indices,
        rows=order,
    )
