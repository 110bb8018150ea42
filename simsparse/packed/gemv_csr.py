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

_ROWS = 8
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

    def multiply(self, x: Array) -> Floats:
        (m, k), n = self.shape, x.shape[1]
        if n == 1:
            vectors, y = scratch(k + 1), np.empty(self.rows.size, np.float32)
            copy_vectors(x, vectors.view(np.uint32), k + 1)
            self._run(vectors, y, wide=False)
            return y[:m, None]
        vectors, y = scratch(8 * (k + 1)), np.empty(8 * self.rows.size, np.float32)
        copy_rows(x, vectors.view(np.uint32))
        self._run(vectors, y, wide=True)
        return y.reshape(-1, 8)[:m, :n]

    def _run(self, x: Floats, y: Floats, *, wide: bool) -> None:
        width = tag(2)
        packed = (self.starts, self.indices, self.values, self.scales, self.rows, x, y)
        if self.threads == 1:
            (csr_wide_rows if wide else csr_rows)(0, self.starts.size - 1, width, *packed)
        else:
            with thread_count(self.threads):
                (csr_wide_threads if wide else csr_threads)(self.bounds, width, *packed)


def pack_csr_layout(rows: CompressedRows, scales: Floats, threads: int) -> CsrLayout:
    """Compressed rows of stored values, longest row first."""
    m, k = rows.shape
    groups = groups_of(m, _ROWS)
    lengths = np.zeros(groups * _ROWS, np.int64)
    lengths[:m] = np.diff(rows.pointers)
    order = np.argsort(-lengths, kind="stable").astype(np.uint32)
    steps = lengths[order].reshape(groups, _ROWS).max(axis=1)
    starts = np.concatenate(([0], np.cumsum(steps)))
    indices = aligned(int(starts[-1]) * _ROWS, index_dtype(k))
    indices[:] = k
    values = aligned(indices.size, rows.values.dtype)
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
