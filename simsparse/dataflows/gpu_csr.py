"""Unstructured rows on the vector cores, as Sputnik does them.

A thread block is one warp: ``rows`` rows by one line of columns. Every kept weight loads one line of the
inputs; lines that rows resident on the same SM share are hits of its L1, counted from the actual mask. Rows
are sorted by length, and a block takes as long as its longest row.

Source: Gale, Zaharia, Young and Elsen, Sparse GPU kernels for deep learning, SC 2020;
google-research/sputnik.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.gpu_machine import Product, block_plan, l2_capacity, parameters, product_of, stored
from simsparse.dataflows.task import BoolArray, LayerPlan, LayerTask
from simsparse.dataflows.tiling import edges, spread
from simsparse.errors import UnsupportedError
from simsparse.hardware.gpu import VectorRowKernel
from simsparse.kernels.count_gpu import distinct_columns
from simsparse.plan import FloatArray, IntArray, Plan
from simsparse.results import Counts

_MANY_BLOCKS = 5_000
_LEAST_RESIDENT = 4  # bundles resident on an SM, enough to overlap loads and arithmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlocks:
    """Row blocks of one group in dispatch order."""

    size: IntArray
    """rows of the outputs"""
    nnz: IntArray
    longest: IntArray
    """entries of the longest row, as stored and rounded by the kernel"""
    fresh: IntArray
    """input lines that no resident neighbour has loaded"""
    touched: int
    """columns of W with at least one kept weight: rows of the inputs that are read at all"""


def plan_csr(task: LayerTask) -> LayerPlan:
    """Plan a product with unstructured weights.

    Raises
    ------
    UnsupportedError
        If the machine has no such kernel for the dtype, or the operands are both activations.
    """
    kernel = parameters(task).csr
    if kernel is None or task.dtype not in kernel.dtypes:
        raise UnsupportedError(f"{task.hardware.name} has no csr kernel in {task.dtype}")
    if not task.layer.kind.has_weights:
        raise UnsupportedError("csr holds weights, and both operands of this product are activations")
    product = product_of(task)
    groups = []
    for group in range(product.groups):
        rows = slice(group * product.rows, (group + 1) * product.rows)
        mask, length = task.weights.dense_mask[rows], task.weights.row_nnz[rows]
        groups.append(row_blocks(task, kernel, mask, length, share=kernel.resident_rows // kernel.rows))
    plan = rows_plan(task, product, kernel, groups)
    lines = sum(int(group.nnz.sum()) for group in groups)
    done = task.weights.nnz * task.layer.n
    gpu = parameters(task)
    values, metadata = stored(task)
    return LayerPlan(
        plan=plan,
        kernel=f"csr rows {kernel.rows}x{line_columns(task, kernel)}",
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("register", "byte"): round(done * gpu.vector_register_bytes_per_mac * task.value_bits / 16),
                ("smem", "byte"): lines * int(product.bytes_of(np.array([product.columns]))[0]),
                ("sm", "cycle"): round(float(plan.compute_cycles.sum())),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def line_columns(task: LayerTask, kernel: VectorRowKernel) -> int:
    """Output columns of a block: those of one line."""
    return kernel.line_bytes * 8 // task.value_bits


def row_blocks(
    task: LayerTask,
    kernel: VectorRowKernel,
    mask: BoolArray,
    length: IntArray,
    *,
    share: float,
    height: int = 1,
) -> RowBlocks:
    """Blocks of the rows of ``mask``, longest first; ``share`` of them find each other's lines in an L1.

    Each row stands for ``height`` rows of the outputs.
    """
    order = np.argsort(-length, kind="stable")
    size = edges(len(mask), kernel.rows)
    first = np.arange(len(size)) * kernel.rows
    sorted_length = length[order]
    entries = sorted_length[first] + kernel.extra_entries  # the longest of each block comes first
    return RowBlocks(
        size=size * height,
        nnz=np.add.reduceat(sorted_length, first),
        longest=-(-entries // kernel.round_entries) * kernel.round_entries,
        fresh=_fresh(mask, order, kernel.rows, task.hardware.units, share),
        touched=int(np.count_nonzero(mask.any(axis=0))),
    )


def _fresh(mask: BoolArray, order: IntArray, rows: int, units: int, share: float) -> IntArray:
    """First touches among ``share`` neighbours, between the two whole numbers where it is not one."""
    few = max(1, int(share))
    fresh = distinct_columns(mask, order, rows, units, few)
    if share <= few:
        return fresh
    more = distinct_columns(mask, order, rows, units, few + 1)
    return np.round(fresh + (share - few) * (more - fresh)).astype(np.int64)


def rows_plan(task: LayerTask, product: Product, kernel: VectorRowKernel, groups: list[RowBlocks]) -> Plan:
    """Column panels outside, row blocks inside: the order in which the kernel's grid is dispatched.

    Very many blocks are bundled: neighbours run as one, with as many fewer of them resident.
    """
    columns = edges(product.columns, line_columns(task, kernel))
    panels, blocks = len(columns), len(groups[0].size)

    def by_block(values: list[IntArray]) -> IntArray:
        return np.concatenate([np.tile(part, panels) for part in values])

    wide = np.tile(np.repeat(columns, blocks), len(groups))
    stored_parts = spread(product.weight_bytes, np.concatenate([group.nnz + group.size for group in groups]))
    weights = by_block(list(stored_parts.reshape(len(groups), blocks)))
    inputs = product.bytes_of(by_block([group.fresh for group in groups]) * wide)
    written = spread(product.output_bytes, by_block([group.size for group in groups]) * wide)
    dram = _dram(task, product, kernel, groups, columns, stored_parts)
    entries = kernel.rows * by_block([group.longest for group in groups])
    cycles: FloatArray = entries.astype(np.float64) * kernel.cycles_per_load + kernel.block_cycles
    fetch = np.stack([weights, dram[0], inputs, dram[1]], axis=1)
    size = max(1, min(kernel.blocks_per_unit // _LEAST_RESIDENT, len(cycles) // _MANY_BLOCKS))
    first = np.arange(0, len(cycles), size)
    outputs = np.add.reduceat(written, first)
    return block_plan(
        task,
        slice_start=np.arange(len(first) + 1, dtype=np.int64),
        fetch=np.add.reduceat(fetch, first, axis=0),
        outputs=(outputs, outputs),
        compute=np.add.reduceat(cycles, first),
        blocks_per_unit=kernel.blocks_per_unit // size,
        stages=1,
        fill_cycles=0.0,
    )


def _dram(
    task: LayerTask,
    product: Product,
    kernel: VectorRowKernel,
    groups: list[RowBlocks],
    columns: IntArray,
    stored_parts: IntArray,
) -> tuple[IntArray, IntArray]:
    """DRAM bytes of weights and inputs for each block.

    Inputs of a panel are new once, to the first blocks that are resident together. Weights pass once per
    panel: they are found in the L2 again if they fit it together with one panel's inputs and outputs.
    """
    blocks, panels = len(groups[0].size), len(columns)
    resident = min(blocks, task.hardware.units * kernel.blocks_per_unit)
    weights, inputs = [], []
    for group, stored_here in zip(groups, stored_parts.reshape(len(groups), blocks), strict=True):
        read = spread(round(product.input_bytes * group.touched / (product.k * product.groups)), columns)
        outputs = int(product.bytes_of(product.rows * columns[:1])[0])
        fits = int(stored_here.sum() + read.max()) + outputs <= l2_capacity(task)
        passes = (np.arange(panels) == 0) | (not fits)
        weights.append(np.outer(passes, stored_here).ravel())
        upto = np.minimum(np.arange(blocks + 1), resident)
        inputs.append(np.diff(read[:, None] * upto // resident, axis=1).ravel())
    return np.concatenate(weights), np.concatenate(inputs)
