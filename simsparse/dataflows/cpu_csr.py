"""CSR on panels: one splat per kept weight, one FMA per vector; rows of a k block sorted by length."""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cpu_grid import balanced, layer_plan
from simsparse.dataflows.cpu_memory import parameters, tile_hits
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
from simsparse.kernels.count_cpu import row_visits
from simsparse.plan import FloatArray

_INDEX_BYTES = 4  # scaled index inside the k block, as the kernel prepares it
_ROW_BYTES = 8  # row number and length, per k block


def plan_csr(task: LayerTask) -> LayerPlan:
    """Plan an SpMM with unstructured weights."""
    costs, layer = parameters(task).csr, task.layer
    grid = spmm_grid(task, costs.per_weight[-1])
    starts = balanced(task.weights.row_nnz, grid.row_parts)
    counts, _ = row_visits(task.weights.dense_mask, starts, k_block(task))
    nnz, visits, rows, odd, of_four, changes, overlap, long, very_long = counts.T.astype(np.float64)

    def core(panel: Panel) -> FloatArray:
        u = panel.vectors
        # few vectors need several sets of accumulators to hide the FMA latency, and those leave remainders
        left, over = (of_four, very_long) if u == 1 else (odd, long) if u == 2 else (np.zeros_like(nnz), long)
        cycles: FloatArray = (
            nnz * (costs.per_weight[u - 1] + u * _misses(task, u, nnz, visits, overlap) * costs.l2_vector)
            + visits * (costs.row + costs.row_vector * u)
            + left * costs.remainder
            + changes * costs.mispredict
            + over * costs.long_row
        )
        return cycles

    work = RowWork(
        starts=starts,
        stream_bytes=nnz * (task.value_bits / 8 + _INDEX_BYTES) + visits * _ROW_BYTES,
        visits=visits,
        first_visits=rows,
        core=core,
        output_factor=costs.output_factor,
    )
    plan, full, last = panel_plan(task, grid, work)
    done = task.weights.nnz * layer.n
    return layer_plan(
        task,
        plan,
        "csr rows",
        done=done,
        loaded=4.0 * done,
        cached=cached_bytes(panels_of(task)[0], full, last),
    )


def _misses(
    task: LayerTask, vectors: int, nnz: FloatArray, visits: FloatArray, overlap: FloatArray
) -> FloatArray:
    """Share of the loads from the packed tile that miss the L1."""
    block, lanes = k_block(task), parameters(task).panel.lanes
    tile = block * vectors * lanes * 4
    used = nnz / np.maximum(visits, 1) / block
    return 1 - tile_hits(parameters(task).memory.l1_usable_bytes, tile, used, overlap / np.maximum(nnz, 1))
