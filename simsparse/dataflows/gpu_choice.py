"""Which tile a library launches, and how far the power budget cuts the clock.

The library's choice is an input of the model, not physics: it takes the tile with the least estimated main
loop, where smaller tiles are discounted by their ``preference``. It counts one prologue, not one per wave:
published times show it taking tiles whose waves' prologues cost more than they save. k is split over blocks
where tiles alone leave SMs idle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from simsparse.dataflows.gpu_machine import Product, channels, parameters, whole_steps
from simsparse.dataflows.task import LayerTask
from simsparse.dataflows.tiling import ceil_div
from simsparse.hardware.gpu import ThreadBlockTile, TileKernel

_SLICES_PER_SPLIT = 4  # a shorter main loop would not fill its pipeline
PARTIAL_BYTES = 8
"""L2 bytes per output of one part of a split k: an fp32 sum written, and read again to be added up."""
_SLICED_BELOW = (
    32  # rows or columns: those of cuBLAS's sgemm_32x32_sliced1x4 and of its matrix-vector kernels
)
_KNEE = 4  # exponent of the p-norm: a maximum with a soft knee, as fitted on tile kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A launched tile: its split of k, the clock share left by the power budget, the share of the vector
    lanes that its warps keep busy, and its estimate.
    """

    tile: ThreadBlockTile
    split: int
    clock_share: float
    issue_share: float
    cycles: float
    pipe_bound: bool


def choose(task: LayerTask, product: Product, kernel: TileKernel, macs_per_cycle: float) -> Choice:
    """The tile with the least estimate; ``macs_per_cycle`` is the SM's rate inside the main loop."""
    choices = (
        estimate(task, product, tile, split, macs_per_cycle)
        for tile in kernel.tiles
        for split in _splits(task, product, kernel, tile)
    )
    return min(choices, key=lambda choice: choice.cycles)


def blocks(product: Product, tile: ThreadBlockTile) -> int:
    """Output tiles of all groups."""
    return product.groups * ceil_div(product.rows, tile.rows) * ceil_div(product.columns, tile.columns)


def clock_share(task: LayerTask, busy_share: float) -> float:
    """Clock left when tiles cover ``busy_share`` of the SMs' time; power falls as the clock squared.

    Source: square-root law set on large A100 products, .79 of the peak rate unlocked against .97 at locked
    clock.
    """
    machine = parameters(task)
    if task.dtype not in machine.matrix_dtypes or not busy_share:
        return 1.0
    return min(1.0, math.sqrt(machine.power_ratio / busy_share))


def estimate(
    task: LayerTask,
    product: Product,
    tile: ThreadBlockTile,
    split: int,
    macs_per_cycle: float,
) -> Choice:
    """Closed form of one tile: the slower of the most loaded SM's pipe and the channels, plus one
    prologue.
    """
    l2, dram = (channel.bytes_per_cycle for channel in channels(task))
    tiles = blocks(product, tile)
    units = task.hardware.units
    loaded = ceil_div(tiles * split, units)
    depth = whole_steps(product.k, parameters(task).matrix_k_step) / split
    share = clock_share(task, tiles * split / (loaded * units))
    issue = _issue_share(task, product, tile, min(loaded, tile.blocks_per_unit))
    pipe = loaded * tile.rows * tile.columns * depth / (macs_per_cycle * share * issue * tile.preference)
    feed = max(_l2_bytes(product, tile) / l2, _dram_bytes(product) / dram)
    partial = 0 if split == 1 else split * PARTIAL_BYTES * product.output_bytes * 8 / product.value_bits / l2
    cycles = (pipe**_KNEE + feed**_KNEE) ** (1 / _KNEE) + tile.fill_cycles + partial
    return Choice(
        tile=tile,
        split=split,
        clock_share=share,
        issue_share=issue,
        cycles=cycles,
        pipe_bound=pipe > feed,
    )


def _issue_share(task: LayerTask, product: Product, tile: ThreadBlockTile, resident: int) -> float:
    """Kernels for few rows or columns slice k over the warps of a block, so even a small tile has enough."""
    if min(product.rows, product.columns) < _SLICED_BELOW:
        return 1.0
    return parameters(task).issue_share(task.dtype, tile, resident)


def _splits(task: LayerTask, product: Product, kernel: TileKernel, tile: ThreadBlockTile) -> Iterator[int]:
    yield 1
    tiles, units = blocks(product, tile), task.hardware.units
    if tiles / (ceil_div(tiles, units) * units) < kernel.split_below_utilisation:
        most = min(kernel.maximum_split, product.k // (tile.depth * _SLICES_PER_SPLIT))
        yield from range(2, most + 1)


def _l2_bytes(product: Product, tile: ThreadBlockTile) -> float:
    """Bytes that all blocks load: each operand once per tile along the other axis."""
    inputs = product.groups * product.k * product.columns * product.value_bits / 8
    passes = ceil_div(product.columns, tile.columns), ceil_div(product.rows, tile.rows)
    return product.weight_bytes * passes[0] + inputs * passes[1] + product.output_bytes


def _dram_bytes(product: Product) -> float:
    return product.weight_bytes + product.input_bytes + product.output_bytes
