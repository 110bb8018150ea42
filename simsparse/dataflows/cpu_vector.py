"""One column of X (n = 1): the weights stream once, and the kernels differ in how they meet the inputs.

``csr`` gathers 16 inputs per instruction; ``bitmask`` and ``nm`` expand packed weights against contiguous
inputs; blocks of 16 output channels broadcast one input.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cpu_bsr import block_shape, stored_macs
from simsparse.dataflows.cpu_grid import Grid, ThreadCost, balanced, layer_plan, thread_plan
from simsparse.dataflows.cpu_memory import memory_of, parameters, weights_are_cold
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div
from simsparse.hardware.cpu import Pair
from simsparse.kernels.count_gpu import kept_blocks
from simsparse.plan import FloatArray, IntArray

_LANES = 16
_GATHERED = 32  # entries per pass of the unrolled gather loop
_TILES_PER_THREAD = 8


def plan_gather(task: LayerTask) -> LayerPlan:
    """CSR rows that gather their inputs."""
    costs, length = parameters(task).gather, task.weights.row_nnz
    starts = balanced(length, _threads(task))
    left = length % _GATHERED
    nnz, rows = _sums(length, starts), np.diff(starts)
    core = (
        2 * costs.vector * _sums(length // _GATHERED, starts)
        + costs.remainder * _sums(left, starts)
        + costs.row * rows
        + costs.mispredict * _surprise(left, starts)
        + _far(task) * costs.l2_chunk * nnz / _LANES
    )
    stream = nnz * (task.value_bits / 8 + 4)
    done = task.weights.nnz
    return _plan(task, starts, core, stream, costs.weights, costs.launch_cycles, "csr gather", done)


def plan_expand(task: LayerTask) -> LayerPlan:
    """Bitmask or N:M weights expanded in registers."""
    machine = parameters(task)
    two_of_four = (getattr(task.format, "keep", 0), getattr(task.format, "group", 0)) == (2, 4)
    costs = machine.nm if two_of_four else machine.bitmask
    starts = balanced(task.weights.row_nnz, _threads(task))
    rows = np.diff(starts)
    chunks = rows * ceil_div(task.layer.k, _LANES)
    core = costs.chunk * chunks + costs.row * rows + _far(task) * costs.l2_chunk * chunks
    stream = _sums(task.weights.row_nnz, starts) * (task.value_bits / 8) + rows * task.layer.k / 8
    name = "2:4 expand" if two_of_four else "bitmask expand"
    return _plan(task, starts, core, stream, costs.weights, costs.launch_cycles, name, task.weights.nnz)


def plan_block_vector(task: LayerTask) -> LayerPlan:
    """Blocks whose rows are whole vectors of outputs."""
    costs = parameters(task).block_vector
    rows, columns = block_shape(task)
    kept = kept_blocks(task.weights.dense_mask, rows, columns)
    starts = balanced(kept.sum(axis=1), min(_threads(task), len(kept)))
    per_block = columns * ceil_div(rows, _LANES)
    pieces = _sums(kept.sum(axis=1), starts) * per_block
    core = costs.block * pieces + costs.group * np.diff(starts) * ceil_div(rows, _LANES)
    stream = pieces * (_LANES * task.value_bits / 8 + 4)
    done = stored_macs(task, kept)
    name = f"bsr blocks {rows}x{columns}"
    return _plan(task, starts, core, stream, costs.weights, costs.launch_cycles, name, done)


def _plan(
    task: LayerTask,
    starts: IntArray,
    core: FloatArray,
    stream: FloatArray,
    weights: Pair,
    launch_cycles: float,
    name: str,
    done: int,
) -> LayerPlan:
    """A few tiles per thread, so that its arithmetic meets the other threads' DRAM traffic."""
    grid = Grid(row_parts=len(starts) - 1, column_parts=1)
    memory = memory_of(task, grid.threads)
    own = stream + task.activation_bytes(task.layer.input_elements)
    read = memory.stream(
        stream, weights, footprint=own, shared=own * memory.sharers, cold=weights_are_cold(task)
    )
    outputs = task.activation_bytes(1) * np.diff(starts).astype(np.float64)
    written = memory.stream(outputs, (0.0, 0.0), footprint=own, shared=own * memory.sharers, written=True)
    whole = ThreadCost.of(core.astype(np.float64), read, written)
    part = ThreadCost(
        cycles=whole.cycles / _TILES_PER_THREAD,
        fetch=whole.fetch / _TILES_PER_THREAD,
        drain=whole.drain / _TILES_PER_THREAD,
        l2=0.0,
        l3=0.0,
    )
    plan = thread_plan(task, grid, _TILES_PER_THREAD, part, part, launch_cycles)
    return layer_plan(task, plan, name, done=done, loaded=4.0 * done, cached=(whole.l2, whole.l3))


def _threads(task: LayerTask) -> int:
    return min(task.hardware.units, task.layer.m)


def _sums(values: IntArray, starts: IntArray) -> FloatArray:
    upto: FloatArray = np.concatenate([[0], np.cumsum(values)]).astype(np.float64)
    return upto[starts[1:]] - upto[starts[:-1]]


def _far(task: LayerTask) -> float:
    """Share of the inputs that the L1 does not hold."""
    return 1 - min(1.0, parameters(task).memory.l1_usable_bytes / (4 * task.layer.k))


def _surprise(left: IntArray, starts: IntArray) -> FloatArray:
    """Rows whose number of left-over entries the branch predictor cannot tell from the most likely ones."""
    out = np.zeros(len(starts) - 1)
    for part in range(len(out)):
        rows = left[starts[part] : starts[part + 1]]
        seen = np.bincount(rows, minlength=1).astype(np.float64)
        out[part] = len(rows) - (seen**2).sum() / max(1, len(rows))
    return out
