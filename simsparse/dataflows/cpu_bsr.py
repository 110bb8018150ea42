"""Blocks of output channels: a vector of X is loaded once for four rows; zeros inside are multiplied."""

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
from simsparse.dataflows.task import BoolArray, LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges
from simsparse.kernels.count_cpu import row_visits
from simsparse.kernels.count_gpu import kept_blocks
from simsparse.plan import FloatArray

_MICRO_ROWS = 4
_INDEX_BYTES = 4


def block_shape(task: LayerTask) -> tuple[int, int]:
    """Rows and columns of the format's blocks."""
    return getattr(task.format, "rows", 1), getattr(task.format, "columns", 1)


def stored_macs(task: LayerTask, kept: BoolArray) -> int:
    """Multiplies per output column: every position of a kept block that lies in the matrix."""
    rows, columns = block_shape(task)
    return int((kept * np.outer(edges(task.layer.m, rows), edges(task.layer.k, columns))).sum())


def plan_bsr(task: LayerTask) -> LayerPlan:
    """Plan an SpMM with block-sparse weights."""
    memory, layer = parameters(task).memory, task.layer
    costs, shared = parameters(task).block, parameters(task).panel
    rows, columns = block_shape(task)
    kept = kept_blocks(task.weights.dense_mask, rows, columns)
    grid = spmm_grid(task, costs.fma * shared.vectors, rows)
    block_starts = balanced(kept.sum(axis=1), grid.row_parts)
    block = max(1, k_block(task) // columns)  # in columns of blocks
    counts, surprise = row_visits(kept, block_starts, block)
    blocks, visits, lines, _, _, _, overlap, long, _ = counts.T.astype(np.float64)
    micro = ceil_div(rows, _MICRO_ROWS)  # passes of the micro-kernel over a block row
    steps = blocks * columns * micro
    missed = unpredicted(surprise * micro, shared.branch_capacity)
    repeated = (overlap / np.maximum(blocks, 1) + micro - 1) / micro

    def core(panel: Panel) -> FloatArray:
        u = panel.vectors
        tile = block * columns * u * shared.lanes * 4
        used = blocks / np.maximum(visits, 1) / block
        hits = tile_hits(memory.l1_usable_bytes, tile, used, repeated)
        inner = max(_MICRO_ROWS * costs.fma * u, costs.load * u + costs.column)
        cycles: FloatArray = (
            steps * (inner + u * (1 - hits) * costs.l2_vector)
            + visits * micro * (costs.group + _MICRO_ROWS * costs.group_vector * u)
            + missed * costs.mispredict
            + long * micro * costs.long_row
        )
        return cycles

    stored = blocks * rows * columns
    work = RowWork(
        starts=np.minimum(block_starts * rows, layer.m),
        stream_bytes=stored * (task.value_bits / 8) + blocks * _INDEX_BYTES + visits * _INDEX_BYTES,
        visits=visits * rows,
        first_visits=lines * rows,
        core=core,
    )
    plan, full, last = panel_plan(task, grid, work)
    done = stored_macs(task, kept) * layer.n
    return layer_plan(
        task,
        plan,
        f"bsr blocks {rows}x{columns}",
        done=done,
        loaded=4.0 * float(steps.sum()) * layer.n,
        cached=cached_bytes(panels_of(task)[0], full, last),
    )
