"""SpMM on panels of columns: pack a tile of X into L1, then pass all rows of the thread over it.

The time of a panel is additive: pack + core + weights + outputs. Each kernel says what its core costs and how
many bytes its weights stream; everything else is the same for all of them and stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_grid import Grid, ThreadCost, choose_grid, thread_plan
from simsparse.dataflows.cpu_memory import Memory, Traffic, memory_of, parameters, weights_are_cold
from simsparse.dataflows.task import LayerTask
from simsparse.dataflows.tiling import ceil_div
from simsparse.plan import FloatArray, IntArray, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``columns`` of X in ``vectors`` vectors; the tail is masked, and ragged rows straddle cache lines."""

    columns: int
    vectors: int
    tail: bool
    ragged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWork:
    """What a kernel does in each row part; arrays are (parts,)."""

    starts: IntArray
    stream_bytes: FloatArray
    """Bytes of the prepared weights that one panel reads"""
    visits: FloatArray
    """(row, k block) pairs whose outputs are loaded and stored"""
    first_visits: FloatArray
    core: Callable[[Panel], FloatArray]
    """Cycles of one panel without packing and streams."""
    output_factor: float = 1.0


def k_block(task: LayerTask) -> int:
    """Rows of the packed tile."""
    costs = parameters(task).panel
    block = costs.sparse_k_block if task.weights.density <= costs.sparse_density else costs.k_block
    return min(block, task.layer.k)


def panels_of(task: LayerTask) -> tuple[int, Panel, Panel]:
    """Number of panels, a full panel and the last one."""
    costs, n = parameters(task).panel, task.layer.n
    width = costs.lanes * costs.vectors
    ragged = n % costs.lanes != 0
    left = n % width
    full = Panel(columns=width, vectors=costs.vectors, tail=False, ragged=ragged)
    last = (
        Panel(columns=left, vectors=ceil_div(left, costs.lanes), tail=ragged, ragged=ragged) if left else full
    )
    return ceil_div(n, width), full, last


def spmm_grid(task: LayerTask, cycles_per_weight: float, step: int = 1) -> Grid:
    """Threads by rows and panels: more columns parts save packing, more row parts the weight stream."""
    costs, layer = parameters(task).panel, task.layer
    panels, full, last = panels_of(task)
    panel = full if panels > 1 else last
    pack = layer.k * (panel.vectors * costs.pack + costs.pack_row) * layer.groups
    stored = task.weights.nnz * (task.value_bits / 8 + 4)
    inputs = task.activation_bytes(layer.input_elements)

    def cost(row_parts: int, column_parts: int) -> float:
        grid = Grid(row_parts=row_parts, column_parts=column_parts)
        memory = memory_of(task, grid.threads)
        part = np.array([stored / row_parts])
        together = _shared(grid, memory, part, inputs / column_parts, np.zeros(1))
        shared = max(1.0, layer.groups / row_parts) / layer.groups  # groups that one part of the rows packs
        read = memory.stream(
            part, costs.weights, footprint=part, shared=together, unique=1 / grid.abreast(memory)
        )
        waiting = read.cycles + read.dram * grid.threads / memory.shared_bytes_per_cycle
        rows = task.weights.nnz * cycles_per_weight / row_parts
        return ceil_div(panels, column_parts) * (rows + pack * shared + float(waiting[0]))

    return choose_grid(task.hardware.units, ceil_div(layer.m, step), panels, cost)


def panel_plan(task: LayerTask, grid: Grid, work: RowWork) -> tuple[Plan, ThreadCost, ThreadCost]:
    """The plan of an SpMM, and the costs of a full and of the last panel for the counts."""
    panels, full, last = panels_of(task)
    memory = memory_of(task, grid.threads)
    costs = [_panel_cost(task, grid, work, memory, panel, panels) for panel in (full, last)]
    launch = parameters(task).panel.launch_cycles
    return thread_plan(task, grid, panels, costs[0], costs[1], launch), costs[0], costs[1]


def cached_bytes(grid_panels: int, full: ThreadCost, last: ThreadCost) -> tuple[float, float]:
    """Bytes through L2 and L3 of all panels."""
    return full.l2 * (grid_panels - 1) + last.l2, full.l3 * (grid_panels - 1) + last.l3


def _panel_cost(
    task: LayerTask, grid: Grid, work: RowWork, memory: Memory, panel: Panel, panels: int
) -> ThreadCost:
    costs, layer = parameters(task).panel, task.layer
    width = task.value_bits / 8
    rows = np.diff(work.starts).astype(np.float64)
    groups = _groups_touched(layer.m // layer.groups, work.starts)
    per_thread = ceil_div(panels, grid.column_parts) * panel.columns
    inputs = task.activation_bytes(layer.input_elements) * min(1.0, per_thread / layer.n)
    own = work.stream_bytes + inputs + rows * per_thread * width
    together = _shared(grid, memory, work.stream_bytes, inputs, rows * per_thread * width)

    row_bytes = panel.columns * width
    packed = groups * layer.k * row_bytes
    existing = min(1.0, layer.input_elements / (layer.groups * layer.k * layer.n))
    neighbours = min(grid.row_parts, memory.sharers // grid.abreast(memory))
    pack = memory.stream(packed, costs.inputs, footprint=own, shared=together, unique=existing / neighbours)
    pass_bytes = work.stream_bytes + packed + rows * row_bytes
    once = panels <= grid.column_parts
    weights = memory.stream(
        work.stream_bytes,
        costs.weights,
        footprint=own if once else pass_bytes,
        shared=together if once else pass_bytes * memory.sharers,
        unique=1 / grid.abreast(memory),
        cold=weights_are_cold(task) / ceil_div(panels, grid.column_parts),  # later panels find what fits
    )
    written = _outputs(task, work, memory, row_bytes, own, together)
    ragged = costs.pack_ragged if panel.ragged else 1.0
    pack_cycles = (
        groups
        * layer.k
        * (panel.vectors * costs.pack * ragged + costs.pack_row + costs.pack_tail * panel.tail)
    )
    edges = work.visits * (costs.split_line * panel.vectors * panel.ragged + costs.mask * panel.tail)
    return ThreadCost.of(pack_cycles + edges + work.core(panel), pack + weights, written)


def _outputs(
    task: LayerTask, work: RowWork, memory: Memory, row_bytes: float, own: FloatArray, together: FloatArray
) -> Traffic:
    """The first visit of a row writes it; every later k block reads and writes it again."""
    costs = parameters(task).panel
    block = k_block(task)
    rows = np.diff(work.starts)
    blocks = ceil_div(task.layer.k, block)
    again = rows * row_bytes + work.stream_bytes / blocks + block * row_bytes
    cache, dram = costs.outputs
    pair = (cache * work.output_factor, dram * work.output_factor)
    first = memory.stream(work.first_visits * row_bytes, pair, footprint=own, shared=together, written=True)
    later_bytes = 2 * (work.visits - work.first_visits) * row_bytes
    later = memory.stream(later_bytes, pair, footprint=again, shared=again * memory.sharers, written=True)
    return first + later


def _shared(
    grid: Grid, memory: Memory, weights: FloatArray, inputs: float, outputs: FloatArray
) -> FloatArray:
    """Footprint on one L3: neighbours share the weights of a row part and the inputs of a column part."""
    row_parts = memory.sharers // grid.abreast(memory)
    return weights * row_parts + inputs * grid.abreast(memory) + outputs * memory.sharers


def _groups_touched(rows_per_group: int, starts: IntArray) -> FloatArray:
    """Groups of a grouped layer that each part's rows belong to: each has inputs of its own to pack."""
    first, last = starts[:-1], np.maximum(starts[1:] - 1, starts[:-1])
    empty = starts[1:] == starts[:-1]
    return np.where(empty, 0, last // rows_per_group - first // rows_per_group + 1).astype(np.float64)
