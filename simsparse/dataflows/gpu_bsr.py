"""Kept blocks on the matrix pipe: a thread block takes one block row of W by a tile of columns.

It walks the kept blocks of its row, so its k is its own: rows with more blocks run longer. The blocks of a
slice are loaded together with the input rows of their columns. Small blocks leave most of the pipe's operand
bandwidth idle, which one constant says: the share of the dense rate at which a kept block runs.
"""

from __future__ import annotations

import math

import numpy as np

from simsparse.dataflows.gpu_choice import clock_share
from simsparse.dataflows.gpu_machine import (
    Product,
    block_plan,
    l2_capacity,
    parameters,
    product_of,
    raster,
    starts,
    stored,
    whole_steps,
)
from simsparse.dataflows.gpu_vectors import plan_vectors
from simsparse.dataflows.task import BoolArray, LayerPlan, LayerTask
from simsparse.dataflows.tiling import edges, spread
from simsparse.errors import UnsupportedError
from simsparse.hardware.gpu import BlockRowKernel
from simsparse.kernels.count_gpu import block_traffic, kept_blocks
from simsparse.plan import IntArray, Plan
from simsparse.results import Counts

_NARROWEST = 16  # columns of the smallest tile, a multiple of what a matrix instruction takes


def plan_bsr(task: LayerTask) -> LayerPlan:
    """Plan a product with block-sparse weights.

    Raises
    ------
    UnsupportedError
        If the machine has no such kernel for the dtype, blocks are too small for it, or the layer is grouped.
    """
    rows, columns = block_shape(task)
    vectors = parameters(task).vectors
    if vectors is not None and columns == 1 and rows in vectors.heights:
        return plan_vectors(task, vectors, rows)
    kernel = parameters(task).bsr
    if kernel is None or task.dtype not in kernel.dtypes:
        raise UnsupportedError(f"{task.hardware.name} has no bsr kernel in {task.dtype}")
    if min(rows, columns) < kernel.minimum_block:
        side = kernel.minimum_block
        raise UnsupportedError(f"the bsr kernel takes blocks of at least {side}x{side}, got {rows}x{columns}")
    if task.layer.groups > 1 or not task.layer.kind.has_weights:
        raise UnsupportedError("the bsr kernel takes one product with weights")
    kept = kept_blocks(task.weights.dense_mask, rows, columns)
    product = product_of(task)
    plan, pipe_cycles = _plan(task, product, kernel, kept, rows, columns)
    done = (
        int((kept * np.outer(edges(product.rows, rows), edges(product.k, columns))).sum()) * product.columns
    )
    gpu = parameters(task)
    values, metadata = stored(task)
    staged = int(plan.fetch_bytes[:, 0].sum() + plan.fetch_bytes[:, 2].sum())
    return LayerPlan(
        plan=plan,
        kernel=f"bsr blocks {rows}x{columns}",
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("register", "byte"): round(done * gpu.register_bytes_per_mac * task.value_bits / 16),
                ("smem", "byte"): 3 * staged,  # written once, and read by about two warps
                ("sm", "cycle"): round(pipe_cycles),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def block_shape(task: LayerTask) -> tuple[int, int]:
    """Rows and columns of the format's blocks."""
    return getattr(task.format, "rows", 1), getattr(task.format, "columns", 1)


def block_efficiency(kernel: BlockRowKernel, rows: int, columns: int) -> float:
    """Share of the dense rate for a kept block: known at one size, assumed to grow with its mean side."""
    side = math.sqrt(rows * columns) / kernel.reference_block
    return min(kernel.efficiency_limit, kernel.efficiency * side)


def _plan(
    task: LayerTask, product: Product, kernel: BlockRowKernel, kept: BoolArray, rows: int, columns: int
) -> tuple[Plan, float]:
    gpu, machine = parameters(task), task.hardware
    width = min(kernel.columns, whole_steps(product.columns, _NARROWEST))
    tiles, heights = edges(product.columns, width), edges(product.rows, rows)
    per_slice = max(1, kernel.slice_depth // columns)
    pointers = starts(kept.sum(axis=1))
    # the kernel's grid passes all block rows before the next tile of columns
    block_row, panel = raster(len(heights), len(tiles), 0)
    in_row = np.diff(pointers)[block_row]
    counts = np.maximum(1, -(-in_row // per_slice))  # a block of an empty row still writes its zeros
    slice_start = starts(counts)
    written = spread(product.output_bytes, heights[block_row] * tiles[panel])
    k_sizes = edges(product.k, columns)
    fetch = block_traffic(
        block_row,
        panel,
        slice_start,
        pointers,
        np.nonzero(kept)[1].astype(np.int64),
        per_slice,
        spread(product.weight_bytes, np.ones(int(pointers[-1]))),
        product.bytes_of(np.outer(tiles, k_sizes)),
        spread(product.input_bytes, np.outer(tiles, k_sizes)),
        written,
        machine.units * kernel.blocks_per_unit,
        l2_capacity(task),
    )
    efficiency = block_efficiency(kernel, rows, columns)
    step = gpu.matrix_k_step
    macs = whole_steps(rows, step) * whole_steps(columns, step) * width
    rate = machine.macs_per_cycle[task.dtype] * gpu.pipe_share(task.dtype, "fp32")
    pipe = macs / rate  # of one kept block, at the full rate
    in_slice = _blocks_in_slices(in_row, counts, per_slice)
    busy = efficiency * min(1.0, len(block_row) / machine.units)
    plan = block_plan(
        task,
        slice_start=slice_start,
        fetch=fetch,
        outputs=(written, written),
        compute=in_slice.astype(np.float64) * (pipe / (efficiency * clock_share(task, busy))),
        blocks_per_unit=kernel.blocks_per_unit,
        stages=kernel.stages,
        fill_cycles=kernel.fill_cycles,
    )
    return plan, float(in_slice.sum()) * pipe


def _blocks_in_slices(in_row: IntArray, counts: IntArray, per_slice: int) -> IntArray:
    """Kept blocks of each slice: all slices are full except the last of each thread block."""
    full = np.full(int(counts.sum()), per_slice, dtype=np.int64)
    full[starts(counts)[1:] - 1] = in_row - (counts - 1) * per_slice
    return full
