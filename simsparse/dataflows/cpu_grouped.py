"""Pattern-grouped rows: four rows at a time, columns sorted by which of the four use them.

Fifteen straight loops, one per set of rows, each with exactly that set's FMAs: no branch inside, no
multiplied zero, and each vector of X is loaded once for all rows that use it. Bitmask and N:M weights are
prepared like this for n > 1.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cpu_grid import balanced, layer_plan
from simsparse.dataflows.cpu_memory import parameters, tile_hits, unpredicted
from simsparse.dataflows.cpu_panels import (
    Panel,
    RowWork,
    cached_bytes,
    k_block,
    panel_plan,
    panels_of,
    spmm_grid,
)
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.kernels.count_cpu import group_visits
from simsparse.plan import FloatArray

_GROUP = 4
_COLUMN_BYTES = 4
_GROUP_BYTES = 68  # fifteen segment lengths, row numbers and offsets, per k block


def plan_grouped(task: LayerTask) -> LayerPlan:
    """Plan an SpMM with any pattern of weights, four rows at a time."""
    memory, layer = parameters(task).memory, task.layer
    costs, shared = parameters(task).grouped, parameters(task).panel
    grid = spmm_grid(task, costs.fma * shared.vectors, _GROUP)
    starts = balanced(task.weights.row_nnz, grid.row_parts, _GROUP)
    block = k_block(task)
    counts, surprise = group_visits(task.weights.dense_mask, starts, block)
    by_rows = counts[:, :_GROUP].T.astype(np.float64)
    visits, groups, segments, long, overlap = counts[:, _GROUP:].T.astype(np.float64)
    columns = by_rows.sum(axis=0)
    nnz = (by_rows * np.arange(1, _GROUP + 1)[:, None]).sum(axis=0)
    missed = unpredicted(surprise, shared.branch_capacity)

    def core(panel: Panel) -> FloatArray:
        u = panel.vectors
        tile = block * u * shared.lanes * 4
        used = columns / np.maximum(visits, 1) / block
        hits = tile_hits(memory.l1_usable_bytes, tile, used, overlap / np.maximum(columns, 1))
        cycles: FloatArray = (
            columns * u * (1 - hits) * costs.l2_vector
            + visits * (costs.group + _GROUP * costs.group_vector * u)
            + segments * costs.segment
            + missed * costs.mispredict
            + long * costs.long_segment
        )
        for rows in range(1, _GROUP + 1):
            fed = costs.load * u + costs.row_weight * rows + costs.column
            cycles = cycles + by_rows[rows - 1] * max(costs.fma * u * rows, fed)
        return cycles

    work = RowWork(
        starts=starts,
        stream_bytes=nnz * (task.value_bits / 8) + columns * _COLUMN_BYTES + visits * _GROUP_BYTES,
        visits=_GROUP * visits,
        first_visits=_GROUP * groups,
        core=core,
    )
    plan, full, last = panel_plan(task, grid, work)
    return layer_plan(
        task,
        plan,
        "pattern-grouped rows",
        done=task.weights.nnz * layer.n,
        loaded=4.0 * float(columns.sum()) * layer.n,
        cached=cached_bytes(panels_of(task)[0], full, last),
    )
