"""V:N:M weights on sparse tensor cores, as Spatha does them.

The rows of a tile share four columns of each group of m, so a thread block walks k in steps of kept columns:
it gathers just those rows of the inputs, and the pipe skips two of four inside them. What tiles save in
traffic depends on which rows of the inputs any tile touches, which is counted from the actual mask.

Source: Castro et al., VENOM: a vectorized N:M format for unleashing the power of sparse tensor cores,
SC 2023; UDC-GAC/venom.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simsparse.dataflows.gpu_choice import Choice, choose
from simsparse.dataflows.gpu_gemm import Work, tile_layer
from simsparse.dataflows.gpu_layout import with_copies
from simsparse.dataflows.gpu_machine import (
    Product,
    block_plan,
    l2_capacity,
    parameters,
    product_of,
    raster,
    starts,
)
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread
from simsparse.errors import UnsupportedError
from simsparse.hardware.gpu import ColumnGatherKernel
from simsparse.kernels.count_gpu import block_traffic
from simsparse.kernels.encode_blocks import choose_columns
from simsparse.plan import IntArray, Plan

_SLICES = 100_000  # more make a plan slower and no better: slices are then merged


def plan_vnm(task: LayerTask) -> LayerPlan:
    """Plan a product with V:N:M weights.

    Raises
    ------
    UnsupportedError
        If the machine has no such kernel for the pattern or dtype, or the layer is grouped.
    """
    kernel = parameters(task).vnm
    if kernel is None or task.dtype not in kernel.dtypes:
        raise UnsupportedError(f"{task.hardware.name} has no vnm kernel in {task.dtype}")
    rows, keep, group = (getattr(task.format, name, 0) for name in ("rows", "keep", "group"))
    tiles = tuple(tile for tile in kernel.kernel.tiles if tile.rows == rows)
    if keep != kernel.keep or not tiles:
        taken = ", ".join(str(height) for height in sorted({tile.rows for tile in kernel.kernel.tiles}))
        raise UnsupportedError(f"the vnm kernel takes N = {kernel.keep} and V of {taken}, got {rows}:{keep}")
    if task.layer.groups > 1 or not task.layer.kind.has_weights:
        raise UnsupportedError("the vnm kernel takes one product with weights")
    product = product_of(task)
    walked = replace(product, k=min(product.k, ceil_div(product.k, group) * kernel.columns))
    rate = task.hardware.macs_per_cycle[task.dtype] * kernel.kernel.efficiency * kernel.rate_factor
    rate *= parameters(task).pipe_share(task.dtype, kernel.kernel.accumulate)
    choice = choose(task, walked, replace(kernel.kernel, tiles=tiles, maximum_split=1), rate)
    plan, work = _plan(task, walked, kernel, choice, rate, _touched(task, kernel, rows, group))
    done = product.rows * ceil_div(walked.k * kernel.keep, kernel.columns) * product.columns
    done = max(done, task.weights.nnz * product.columns)
    return tile_layer(task, plan, f"v{rows}:{keep}:{group} tiles {choice.tile}", choice, work, done)


def _touched(task: LayerTask, kernel: ColumnGatherKernel, rows: int, group: int) -> IntArray:
    """(row panels, walked columns) position along k of each column a panel walks."""
    layer = task.layer
    groups = ceil_div(layer.k, group)
    if task.weights.mask is None or group == kernel.columns:
        first = np.arange(groups)[:, None] * group + np.arange(kernel.columns)
        walked = np.broadcast_to(first.ravel(), (ceil_div(layer.m, rows), first.size))
    else:
        chosen = np.zeros((ceil_div(layer.m, rows), groups, kernel.columns), np.int32)
        choose_columns(task.weights.mask, rows, group, chosen)
        walked = (chosen + np.arange(groups)[:, None] * group).reshape(len(chosen), -1)
    return np.minimum(walked, layer.k - 1).astype(np.int64)[:, : min(layer.k, walked.shape[1])]


def _plan(
    task: LayerTask,
    walked: Product,
    kernel: ColumnGatherKernel,
    choice: Choice,
    rate: float,
    touched: IntArray,
) -> tuple[Plan, Work]:
    tile, tiles_of = choice.tile, kernel.kernel
    heights, widths = edges(walked.rows, tile.rows), edges(walked.columns, tile.columns)
    row, panel = raster(len(heights), len(widths), tiles_of.raster_group)
    depth = tile.depth * _merged(tile.depth, walked.k, len(row))
    depths = edges(walked.k, depth)
    slice_start = np.arange(len(row) + 1, dtype=np.int64) * len(depths)
    written = spread(walked.output_bytes, heights[row] * widths[panel])
    positions = task.layer.k
    wide = np.broadcast_to(widths[:, None], (len(widths), positions))
    fetch = block_traffic(
        row,
        panel,
        slice_start,
        starts(np.full(len(heights), walked.k)),
        touched.ravel(),
        depth,
        spread(walked.weight_bytes, np.repeat(heights, walked.k)),
        walked.bytes_of(wide),
        spread(walked.input_bytes, wide),
        written,
        task.hardware.units * tile.blocks_per_unit,
        l2_capacity(task),
    )
    macs = tile.rows * tile.columns * np.tile(depths, len(row)).astype(np.float64)
    plan = block_plan(
        task,
        slice_start=slice_start,
        fetch=fetch,
        outputs=(written, written),
        compute=macs / (rate * choice.clock_share),
        blocks_per_unit=tile.blocks_per_unit,
        stages=tile.stages,
        fill_cycles=tile.fill_cycles,
    )
    plan = with_copies(task, plan, tiles_of, product_of(task))
    return plan, _work(task, choice, fetch, float(macs.sum()) * tiles_of.efficiency / rate)


def _merged(depth: int, k: int, blocks: int) -> int:
    slices = ceil_div(k, depth)
    return max(1, min(slices // 4, ceil_div(slices * blocks, _SLICES)))


def _work(task: LayerTask, choice: Choice, fetch: IntArray, cycles: float) -> Work:
    tile, warp = choice.tile, parameters(task).warp_tile
    weights, inputs = int(fetch[:, 0].sum()), int(fetch[:, 2].sum())
    reads = weights * tile.columns / min(warp, tile.columns) + inputs * tile.rows / min(warp, tile.rows)
    return Work(pipe_cycles=cycles, staged_bytes=weights + inputs, read_bytes=round(reads))
