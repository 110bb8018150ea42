"""Dense products on a CPU: a BLAS sgemm on blocks of rows and columns, and direct convolutions.

Convolutions pack their windows as they go (implicit im2col). Products of a batch are dealt out to the threads
whole where there are enough of them, else each is cut.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cpu_grid import Grid, ThreadCost, choose_grid, core_plan, layer_plan
from simsparse.dataflows.cpu_memory import Memory, memory_of, parameters, weights_are_cold
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div
from simsparse.plan import FloatArray, IntArray

_LANES = 16
_ROWS = 8  # granularity of a thread's share of the rows
_TILES_PER_THREAD = 4  # so that a thread's arithmetic meets the other threads' DRAM traffic


def plan_dense(task: LayerTask) -> LayerPlan:
    """Plan a dense product."""
    layer, costs = task.layer, parameters(task).dense
    rows = layer.m // layer.groups
    if layer.groups > 1 and layer.kind.has_weights and rows < costs.direct_below_rows:
        return _plan_direct(task)
    units = max(1, task.hardware.units // layer.groups)

    def cost(row_parts: int, column_parts: int) -> float:
        return float(_cycles(task, *_sides(rows, layer.n, row_parts, column_parts)).max())

    grid = choose_grid(units, ceil_div(rows, _ROWS), ceil_div(layer.n, _LANES), cost)
    m, n = _blocks(rows, layer.n, grid)
    threads = min(task.hardware.units, grid.threads * layer.groups)
    block = _block_cost(task, grid, memory_of(task, threads), m, n)
    unit = np.arange(layer.groups * len(m), dtype=np.int64) * threads // (layer.groups * len(m))

    def dealt(values: FloatArray) -> FloatArray:
        return np.tile(np.tile(values, layer.groups) / _TILES_PER_THREAD, _TILES_PER_THREAD)

    plan = core_plan(
        task,
        unit=np.tile(unit, _TILES_PER_THREAD),
        cycles=dealt(block.cycles),
        fetch=dealt(block.fetch),
        drain=dealt(block.drain),
        threads=threads,
        launch_cycles=costs.launch_cycles,
    )
    return layer_plan(
        task,
        plan,
        "dense sgemm" if task.dtype == "fp32" else f"dense {task.dtype} gemm",
        done=layer.macs,
        loaded=layer.macs * 4 / 6,  # about six rows share a loaded vector
        cached=(block.l2 * layer.groups, block.l3 * layer.groups),
    )


def _sides(rows: int, columns: int, row_parts: int, column_parts: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the largest block."""
    m = min(rows, ceil_div(ceil_div(rows, _ROWS), row_parts) * _ROWS)
    n = min(columns, ceil_div(ceil_div(columns, _LANES), column_parts) * _LANES)
    return np.array([m], dtype=np.int64), np.array([n], dtype=np.int64)


def _cuts(total: int, step: int, parts: int) -> IntArray:
    upto = np.minimum(np.arange(parts + 1) * ceil_div(total, step) // parts * step, total)
    return np.diff(upto).astype(np.int64)


def _blocks(rows: int, columns: int, grid: Grid) -> tuple[IntArray, IntArray]:
    """Rows and columns of each thread's block of one product."""
    m, n = _cuts(rows, _ROWS, grid.row_parts), _cuts(columns, _LANES, grid.column_parts)
    return np.repeat(m, len(n)), np.tile(n, len(m))


def _cycles(task: LayerTask, m: IntArray, n: IntArray) -> FloatArray:
    """Cycles of one block without its streams."""
    costs, k = parameters(task).dense, task.layer.k
    macs = task.hardware.macs_per_cycle
    faster = macs.get("fp32", macs[task.dtype]) / macs[task.dtype]  # more lanes for narrow types
    narrow = task.value_bits / 32
    if task.layer.n == 1:
        return m.astype(np.float64) * costs.vector_row
    small = m * k * n <= costs.small_macs
    packed = m * k * (_by_columns(costs.columns, n) * faster + costs.pack_weights * narrow)
    packed = packed + narrow * (k * n * costs.pack_inputs + m * n * costs.outputs)
    direct = (
        m * k * _by_columns(costs.small_columns, n) * faster
        + m * n * costs.small_outputs
        + m * costs.small_row
    )
    return np.where(small, direct, packed)


def _by_columns(cycles: tuple[float, ...], n: IntArray) -> FloatArray:
    """Cycles per (m, k): whole vectors of columns, and a remainder kernel for each bit of the rest."""
    total: FloatArray = (n // _LANES).astype(np.float64) * cycles[0]
    for bit, cost in zip((8, 4, 2, 1), cycles[1:], strict=True):
        total = total + (n & bit > 0) * cost
    return total


def _block_cost(task: LayerTask, grid: Grid, memory: Memory, m: IntArray, n: IntArray) -> ThreadCost:
    """Every operand passes once; a product of one column streams its weights only."""
    costs, layer = parameters(task).dense, task.layer
    width = task.value_bits / 8
    own = (m * layer.k + layer.k * n + 2 * m * n) * width
    products = max(1, memory.sharers * layer.groups // max(1, memory.threads))
    together = np.minimum(own * memory.sharers, _operands(task) / layer.groups * products)
    pair = costs.vector_streams if layer.n == 1 else costs.streams
    existing = min(1.0, layer.input_elements / (layer.groups * layer.k * layer.n))
    abreast = grid.abreast(memory)
    neighbours = min(memory.sharers // abreast, grid.row_parts)
    weights = memory.stream(
        m * layer.k * width,
        pair,
        footprint=own,
        shared=together,
        unique=1 / abreast,
        cold=weights_are_cold(task),
    )
    inputs = memory.stream(
        layer.k * n * width, pair, footprint=own, shared=together, unique=existing / neighbours
    )
    outputs = memory.stream(
        (1 + (layer.n > 1)) * m * n * width, pair, footprint=own, shared=together, written=True
    )
    return ThreadCost.of(_cycles(task, m, n), weights + inputs, outputs)


def _operands(task: LayerTask) -> float:
    layer = task.layer
    return (layer.m * layer.k + layer.input_elements + 2 * layer.output_elements) * task.value_bits / 8


def _plan_direct(task: LayerTask) -> LayerPlan:
    """Depthwise and narrow grouped convolutions: outputs summed up directly, channels dealt to threads."""
    layer, costs = task.layer, parameters(task).dense
    threads = min(task.hardware.units, layer.m * ceil_div(layer.n, _LANES))
    memory = memory_of(task, threads)
    share = np.ones(threads) / threads
    core = share * layer.m * layer.k * ceil_div(layer.n, _LANES) * costs.direct_vector
    own = share * _operands(task)
    reads = share * (layer.m * layer.k + layer.input_elements) * task.value_bits / 8
    writes = share * layer.output_elements * task.value_bits / 8
    together = own * memory.sharers
    cost = ThreadCost.of(
        core,
        memory.stream(reads, costs.streams, footprint=own, shared=together),
        memory.stream(writes, costs.streams, footprint=own, shared=together, written=True),
    )
    plan = core_plan(
        task,
        unit=np.arange(threads, dtype=np.int64),
        cycles=cost.cycles,
        fetch=cost.fetch,
        drain=cost.drain,
        threads=threads,
        launch_cycles=costs.launch_cycles,
    )
    return layer_plan(
        task, plan, "direct convolution", done=layer.macs, loaded=4.0 * layer.macs, cached=(cost.l2, cost.l3)
    )
