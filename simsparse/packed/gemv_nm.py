"""Weights of 1:4, 2:4 and 4:8 patterns: whole slots and a word of positions, four rows interleaved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_columns import copy_vectors
from simsparse.kernels.gemv_nm import nm_rows
from simsparse.kernels.gemv_pack import fits_groups, pack_nm
from simsparse.kernels.gemv_plain import nm_plain
from simsparse.kernels.gemv_simd import PICKS, SOURCES, tag
from simsparse.kernels.gemv_threads import nm_threads
from simsparse.packed.gemv_layout import (
    Array,
    Floats,
    Ints,
    Layout,
    aligned,
    as_bits,
    fair_bounds,
    groups_of,
    scratch,
    thread_count,
    whole_scales,
)

FORMS = ((1, 4), (2, 4), (4, 8))
"""N and M of the patterns the kernel knows, tightest first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NmLayout(Layout):
    """``words`` (groups · steps · 4,) of positions; ``slot_columns`` is where each slot's group starts."""

    keep: int
    group_size: int
    step_columns: int
    vectorised: bool
    slot_columns: Ints
    words: Array

    @property
    def slots(self) -> int:
        """Slots that one word places."""
        return self.slot_columns.size

    def multiply(self, x: Array) -> Floats:
        (m, k), n = self.shape, x.shape[1]
        stride = groups_of(k, self.step_columns) * self.step_columns
        vectors = scratch(n * stride)
        y = np.empty(self.scales.size * n, np.float32)
        special = copy_vectors(x, vectors.view(np.uint32), stride)
        if special or not self.vectorised:
            self._plain(vectors, stride, y, n)
        else:
            self._fast(vectors, stride, y, n)
        return y.reshape(-1, n)[:m]

    def _plain(self, x: Floats, stride: int, y: Floats, n: int) -> None:
        packed = (self.words, self.values, as_bits(self.values), self.scales)
        nm_plain(self.slot_columns, self.group_size, self.step_columns, *packed, x, stride, y, n)

    def _fast(self, x: Floats, stride: int, y: Floats, n: int) -> None:
        width, form = tag(self.slots // 4), tag(self.keep)
        packed = (self.words, self.values, self.scales)
        if self.threads == 1:
            groups = self.scales.size // 4
            nm_rows(0, groups, width, form, self.step_columns, *packed, x, stride, y, n)
        else:
            with thread_count(self.threads):
                nm_threads(self.bounds, width, form, self.step_columns, *packed, x, stride, y, n)


def fitting_form(rows: CompressedRows) -> tuple[int, int] | None:
    """The tightest of ``FORMS`` that these entries fit, or None."""
    for keep, group in FORMS:
        if fits_groups(rows.pointers, rows.columns, keep, group.bit_length() - 1):
            return keep, group
    return None


def _slots(keep: int) -> tuple[Ints, int, int]:
    """(groups of a step, keep) slot numbers, the columns of a step and its slots, as ``pick`` reads them."""
    sources, size, vectors = PICKS[keep]
    columns, halves = 8 * sources * vectors, 8 // size
    slot_of = np.zeros((columns // size, keep), np.int64)
    used = np.zeros(columns // size, np.int64)
    for vector in range(vectors):
        for lane in range(8):
            source = vector * sources + SOURCES[keep][lane]
            group = source * halves + (lane // 4 if halves == 2 else 0)
            slot_of[group, used[group]] = 8 * vector + lane
            used[group] += 1
    return slot_of, columns, 8 * vectors


def pack_nm_layout(
    rows: CompressedRows, scales: Floats, threads: int, isa: str, form: tuple[int, int]
) -> NmLayout:
    """Compressed rows of stored values, which fit ``form``, in slots."""
    keep, group_size = form
    slot_of, columns, slots = _slots(keep)
    groups, steps = groups_of(rows.shape[0], 4), groups_of(rows.shape[1], columns)
    words = aligned(groups * steps * 4, np.uint32)
    values = aligned(words.size * slots, rows.values.dtype)
    pack_nm(
        rows.pointers,
        rows.columns,
        rows.values,
        slot_of,
        group_size,
        columns,
        words.reshape(groups, steps, 4),
        values.reshape(groups, steps, 4, slots),
    )
    slot_columns = np.zeros(slots, np.int64)
    slot_columns[slot_of] = np.arange(slot_of.shape[0])[:, None] * group_size
    return NmLayout(
        shape=rows.shape,
        bounds=fair_bounds(np.ones(groups, np.int64), threads),
        scales=whole_scales(scales, 4 * groups),
        values=values,
        keep=keep,
        group_size=group_size,
        step_columns=columns,
        vectorised=isa != "plain",
        slot_columns=slot_columns,
        words=words,
    )
