"""Pattern-grouped rows: four rows at a time, columns sorted by which of the four use them.

Fifteen straight loops, one per set of rows, each with exactly that set's FMAs: no branch inside, no
multiplied zero, and each vector of X is loaded once for all rows that use it. Bitmask, N:M and block weights
are prepared like this where n is more than a few columns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, unpredicted
from simsparse.dataflows.cpu_tiles import Tiles, beyond_l1, cut_product, make_tiles, tiles_cost
from simsparse.dataflows.cpu_work import Cost, Product
from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.kernels.count_cpu import group_visits
from simsparse.packed.tiled import GROUP_ROWS, row_bounds
from simsparse.plan import FloatArray, IntArray

_LONG = 24
"""Columns from which a segment counts as a long one."""
_COLUMN_BYTES = 2
_VISIT_BYTES = 48  # sixteen segment lengths and four row numbers, per block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupedWork(Tiles):
    """Panels over groups of rows; ``counts`` are those of ``group_visits``, then its surprises."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What one panel of each piece costs."""
        return tiles_cost(machine, memory, self, _core(machine, memory, self), 1.0)


def grouped_work(machine: CpuRowsParameters, product: Product, weights: WeightOperand) -> GroupedWork:
    """The pieces of an SpMM with any pattern of weights, four rows at a time."""
    cut = cut_product(machine, product, weights.density, form="grouped")
    starts = row_bounds(weights.row_nnz, cut.blocking, product.k, multiple=GROUP_ROWS)
    if weights.mask is None:
        counted, surprise = full_visits(starts, product.k, cut.blocking.k_block)
    else:
        counted, surprise = weights.counted(group_visits, starts, cut.blocking.k_block)
    counts = np.concatenate([counted, surprise[:, None]], axis=1)  # floats, as surprises are
    visits = counts[:, GROUP_ROWS]
    columns = counts[:, :GROUP_ROWS].sum(axis=1)
    nnz = counts[:, :GROUP_ROWS] @ np.arange(1.0, GROUP_ROWS + 1)
    stream = nnz * product.value_bytes + columns * _COLUMN_BYTES + visits * _VISIT_BYTES
    return make_tiles(GroupedWork, machine, product, cut, starts, counts, stream, GROUP_ROWS * visits)


def full_visits(starts: IntArray, k: int, k_block: int) -> tuple[IntArray, FloatArray]:
    """``group_visits`` of weights without a zero."""
    blocks, last = -(-k // k_block), k % k_block or k_block
    long = (blocks - 1) * (k_block > _LONG) + (last > _LONG)
    counts = []
    for first, end in itertools.pairwise(starts.tolist()):  # plain numbers: there are few chunks
        groups, odd = divmod(end - first, GROUP_ROWS)
        every = groups + (odd > 0)
        by_rows = [0] * GROUP_ROWS
        by_rows[-1] = groups * k
        if odd:
            by_rows[odd - 1] = k
        counts.append(
            (*by_rows, every * blocks, groups * blocks, every * blocks, every * long, max(every - 1, 0) * k)
        )
    return np.array(counts, np.int64).reshape(-1, GROUP_ROWS + 5), np.zeros(len(counts))


def _core(machine: CpuRowsParameters, memory: Memory, tiles: Tiles) -> FloatArray:
    costs, u = machine.grouped, tiles.vectors
    visits, plain, segments, long, overlap, surprise = tiles.counts[:, GROUP_ROWS:].T
    by_rows = tiles.counts[:, :GROUP_ROWS].T
    columns = by_rows.sum(axis=0)
    used, again = columns / np.maximum(visits, 1) / tiles.block, overlap / np.maximum(columns, 1)
    missed, sent = beyond_l1(machine, memory, tiles, used, again)
    cycles: FloatArray = (
        columns * missed * costs.l2_vector
        + (visits - plain) * costs.group
        + plain * costs.plain_group
        + visits * GROUP_ROWS * costs.group_vector * u
        + segments * costs.segment
        + unpredicted(surprise, machine.panel.branch_capacity) * costs.mispredict
        + long * costs.long_segment
    )
    for rows in range(1, GROUP_ROWS + 1):
        fed = costs.load * u + costs.row_weight * rows + costs.column
        arithmetic = np.maximum(costs.fma * u * rows, fed)
        cycles += by_rows[rows - 1] * np.maximum(arithmetic, np.maximum(costs.latency, sent))
    return cycles
