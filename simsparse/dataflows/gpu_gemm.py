"""Tile kernels on the matrix pipe: dense products, batched products, and N:M weights on sparse tensor cores.

One thread block computes one output tile: it walks k in slices, loads both operands of a slice from the L2
(or DRAM) while the slice before is multiplied, and writes its outputs at the end. Split k leaves fp32 partial
sums in the L2. A dense kernel multiplies zeros like any other value: no time and no energy is saved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simsparse.dataflows.gpu_choice import PARTIAL_BYTES, Choice, choose
from simsparse.dataflows.gpu_layout import with_copies
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
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread
from simsparse.errors import UnsupportedError
from simsparse.hardware.gpu import StructuredKernel, TileKernel
from simsparse.kernels.count_gpu import tile_traffic
from simsparse.plan import FloatArray, IntArray, Plan
from simsparse.results import Counts

_L2_SHARE = 8  # slices resident at once may take this part of the L2, else coarse slices invent misses
_MOST_SLICES = 2_000_000


def plan_dense(task: LayerTask) -> LayerPlan:
    """Plan a product whose weights are multiplied as if dense."""
    gpu = parameters(task)
    product = product_of(task)
    plan, choice, busy = _tiles(task, product, gpu.dense, 1.0)
    batched = f"{product.groups} x " if product.groups > 1 else ""
    split = f" split {choice.split}" if choice.split > 1 else ""
    return tile_layer(task, plan, f"{batched}dense tiles {choice.tile}{split}", choice, busy, task.layer.macs)


def plan_structured(task: LayerTask) -> LayerPlan:
    """Plan a product with N:M weights on the sparse matrix pipe.

    Raises
    ------
    UnsupportedError
        If the machine's pipe skips another pattern or dtype, or the layer is grouped.
    """
    kernel = parameters(task).structured
    if kernel is None:
        raise UnsupportedError(f"{task.hardware.name} has no matrix pipe that skips N:M zeros")
    _check_structured(task, kernel)
    held = _held(task, kernel.kernel)
    product = replace(product_of(task), weight_bytes=sum(held))
    plan, choice, busy = _tiles(task, product, kernel.kernel, kernel.rate_factor)
    layer = task.layer
    kept = min(layer.k, ceil_div(layer.k, kernel.group) * kernel.keep)
    split = f" split {choice.split}" if choice.split > 1 else ""
    name = f"{kernel.keep}:{kernel.group} tiles {choice.tile}{split}"
    made = tile_layer(task, plan, name, choice, busy, layer.m * kept * layer.n)
    return replace(made, weight_bytes=held[0], metadata_bytes=held[1])


def _held(task: LayerTask, kernel: TileKernel) -> tuple[int, int]:
    """Bytes of stored weights and of their metadata, with weights as narrow as the library holds them."""
    values, metadata = stored(task)
    if kernel.weight_bits and task.layer.kind.has_weights:
        values = ceil_div(round(values * 8 / task.value_bits * kernel.weight_bits), 8)
    return values, metadata


def _check_structured(task: LayerTask, kernel: StructuredKernel) -> None:
    keep, group = getattr(task.format, "keep", 0), getattr(task.format, "group", 0)
    if (keep, group) != (kernel.keep, kernel.group):
        raise UnsupportedError(
            f"{task.hardware.name} skips zeros in {kernel.keep}:{kernel.group} only, got {keep}:{group}"
        )
    if task.dtype not in kernel.dtypes:
        raise UnsupportedError(
            f"{task.hardware.name} skips zeros in {', '.join(kernel.dtypes)} only, got {task.dtype}"
        )
    if task.layer.groups > 1:
        raise UnsupportedError(f"the {keep}:{group} kernel takes one product, got {task.layer.groups} groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the matrix pipe did: cycles at full clock, and bytes written to and read from shared memory."""

    pipe_cycles: float
    staged_bytes: int
    read_bytes: int


def tile_layer(task: LayerTask, plan: Plan, name: str, choice: Choice, work: Work, done: int) -> LayerPlan:
    """A tile kernel's plan with what the engine does not see."""
    gpu = parameters(task)
    values, metadata = stored(task)
    matrix = task.dtype in gpu.matrix_dtypes
    per_mac = gpu.register_bytes_per_mac if matrix else gpu.vector_register_bytes_per_mac
    cut = "large products run below the boost clock, as far as the power budget asks for it"
    return LayerPlan(
        plan=plan,
        kernel=name,
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("register", "byte"): round(done * per_mac * task.value_bits / 16),
                ("smem", "byte"): work.staged_bytes + work.read_bytes,
                ("sm", "cycle"): round(work.pipe_cycles),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=(cut,) if choice.clock_share < 1 and choice.pipe_bound else (),
    )


def _tiles(
    task: LayerTask, product: Product, kernel: TileKernel, rate_factor: float
) -> tuple[Plan, Choice, Work]:
    gpu = parameters(task)
    pipe = task.hardware.macs_per_cycle[task.dtype] * gpu.pipe_share(task.dtype, kernel.accumulate)
    rate = pipe * kernel.efficiency * rate_factor
    choice = choose(task, product, kernel, rate)
    tile, split = choice.tile, choice.split
    rows, columns = edges(product.rows, tile.rows), edges(product.columns, tile.columns)
    depths = edges(product.k, _slice_depth(task, product, choice, len(rows) * len(columns)))

    weights, inputs = _order(product, len(rows), len(columns), kernel.raster_group, split)
    bounds = np.arange(split + 1) * len(depths) // split
    part = np.tile(np.repeat(np.arange(split), len(rows) * len(columns)), product.groups)
    first, counts = bounds[part], np.diff(bounds)[part]
    slice_start = starts(counts)
    outputs = _outputs(product, rows[weights % len(rows)] * columns[inputs % len(columns)], part, split)
    fetch = tile_traffic(
        weights,
        inputs,
        first,
        slice_start,
        spread(product.weight_bytes, _repeated(rows, depths, product.groups)),
        product.bytes_of(_repeated(columns, depths, product.groups)),
        spread(product.input_bytes, _repeated(columns, depths, product.groups)),
        outputs[1],
        task.hardware.units * tile.blocks_per_unit,
        l2_capacity(task),
    )
    padded = np.array([whole_steps(int(depth), gpu.matrix_k_step) for depth in depths])
    slices = np.arange(slice_start[-1]) - np.repeat(slice_start[:-1] - first, counts)
    macs: FloatArray = tile.rows * tile.columns * padded[slices].astype(np.float64)
    plan = block_plan(
        task,
        slice_start=slice_start,
        fetch=fetch,
        outputs=outputs,
        compute=macs / (rate * choice.clock_share * choice.issue_share),
        blocks_per_unit=tile.blocks_per_unit,
        stages=tile.stages,
        fill_cycles=tile.fill_cycles,
    )
    staged = int(fetch[:, 0].sum() + fetch[:, 2].sum())
    reads = tile.columns / min(gpu.warp_tile, tile.columns) * int(fetch[:, 0].sum())
    reads += tile.rows / min(gpu.warp_tile, tile.rows) * int(fetch[:, 2].sum())
    work = Work(
        pipe_cycles=float(macs.sum()) * kernel.efficiency / rate, staged_bytes=staged, read_bytes=round(reads)
    )
    return with_copies(task, plan, kernel, product), choice, work


def _slice_depth(task: LayerTask, product: Product, choice: Choice, tiles: int) -> int:
    """The tile's depth, or a multiple of it where slices stay small against the L2 or would be too many."""
    tile = choice.tile
    resident = min(task.hardware.units * tile.blocks_per_unit, tiles * product.groups * choice.split)
    per_slice = resident * (tile.rows + tile.columns) * tile.depth * product.value_bits / 8
    slices = ceil_div(product.k, tile.depth)
    factor = min(int(l2_capacity(task) / _L2_SHARE / per_slice), slices // (4 * tile.stages * choice.split))
    total = slices * tiles * product.groups
    return tile.depth * max(1, factor, ceil_div(total, _MOST_SLICES))


def _order(
    product: Product, row_panels: int, column_panels: int, group: int, split: int
) -> tuple[IntArray, IntArray]:
    """Panels of each block: products of a batch follow each other, and inside them the parts of a split k."""
    row, column = (np.tile(axis, split) for axis in raster(row_panels, column_panels, group))
    batch = np.repeat(np.arange(product.groups, dtype=np.int64), len(row))
    return (
        np.tile(row, product.groups) + batch * row_panels,
        np.tile(column, product.groups) + batch * column_panels,
    )


def _repeated(sizes: IntArray, depths: IntArray, groups: int) -> IntArray:
    """(groups · panels, slices) elements of each slice of each panel."""
    return np.tile(np.outer(sizes, depths), (groups, 1))


def _outputs(product: Product, elements: IntArray, part: IntArray, split: int) -> tuple[IntArray, IntArray]:
    """Bytes each block drains to L2 and to DRAM; the last part of a split k writes the outputs."""
    last = part == split - 1
    written = np.where(last, spread(product.output_bytes, elements * last), 0)
    return written + PARTIAL_BYTES * elements * (split > 1), written
