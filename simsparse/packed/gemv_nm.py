"""Weights of 1:4, 2:4 and 4:8 patterns: whole slots and a word of positions, four rows interleaved."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.kernels.gemv_nm import nm_rows
from simsparse.kernels.gemv_pack import fits_groups, pack_nm
from simsparse.kernels.gemv_plain import nm_plain
from simsparse.kernels.gemv_simd import PICKS, SOURCES, tag
from simsparse.kernels.gemv_threads import nm_threads
from simsparse.packed.arrays import aligned_zeros
from simsparse.packed.gemv_layout import (
    Array,
    Call,
    Floats,
    Ints,
    Layout,
    as_bits,
    fair_bounds,
    groups_of,
    unless_special,
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

    @property
    def stride(self) -> int:
        """k in whole steps."""
        return groups_of(self.shape[1], self.step_columns) * self.step_columns

    def _bound(self, x: Array, vectors: Floats, y: Floats) -> Call:
        rest: Any = (vectors, self.stride, y, x.shape[1])
        form = (tag(self.slots // 4), tag(self.keep), self.step_columns)
        fast = self._on_threads(nm_rows, nm_threads, *form, self.words, self.values, self.scales, *rest)
        slots = (self.slot_columns, self.group_size, self.step_columns)
        stored: Any = (self.words, self.values, as_bits(self.values), self.scales)
        plain = functools.partial(nm_plain, *slots, *stored, *rest)
        return unless_special(x, vectors, self.stride, fast if self.vectorised else plain, plain)


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
    words = aligned_zeros(groups * steps * 4, np.uint32)
    values = aligned_zeros(words.size * slots, rows.values.dtype)
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
