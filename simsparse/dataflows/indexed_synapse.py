"""Compressed weights beside each PE, dense inputs picked by index (Cambricon-X).

A PE computes one output neuron at a time from its own compressed weights. A window of inputs is broadcast;
the indexing module of every PE adds up the distances between its stored weights and picks the inputs they
meet, up to ``multipliers`` per cycle. PEs run asynchronously: each may lie ``windows_ahead`` windows behind.
Zeros of the inputs are multiplied like any value.

    cycles(row, window) = max(1, ceil(entries / multipliers))

A distance that does not fit ``step_bits`` is bridged by a stored zero, which takes a multiplier slot.

Source: Zhang et al., Cambricon-X: An accelerator for sparse neural networks, MICRO 2016, sections III (step
indexing) and IV (PEs, indexing modules). Limits: weights arrive in time; rows are dealt to PEs in turn.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread
from simsparse.errors import UnsupportedError
from simsparse.hardware import IndexedSynapseParameters
from simsparse.kernels.count_join import step_entries
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_MOST_TILES = 500_000


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    machine, layer = task.hardware.dataflow, task.layer
    if not isinstance(machine, IndexedSynapseParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected indexed-synapse parameters")
    if not layer.kind.has_weights:
        raise UnsupportedError("both operands are activations; the machine picks inputs for stored weights")
    entries = _entries(task, machine)
    work = _work(task, machine, entries)
    done = task.weights.nnz * layer.n
    padding = (int(entries.sum()) - task.weights.nnz) * layer.n
    weights = ceil_div(int(entries.sum()) * task.value_bits, 8)
    steps = ceil_div(int(entries.sum()) * machine.step_bits, 8)
    return LayerPlan(
        plan=_plan(task, machine, work, (weights, steps)),
        kernel=f"{machine.multipliers} of {machine.window} inputs",
        macs_done=done,
        macs_skipped=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "padding"): padding,
                ("indexing", "step"): done + padding,
                ("synapse_buffer", "byte"): ceil_div(
                    (done + padding) * (task.value_bits + machine.step_bits), 8
                ),
                ("neuron_buffer", "byte"): task.activation_bytes(
                    layer.groups * layer.k * layer.n * ceil_div(layer.m // layer.groups, task.hardware.units)
                )
                + task.activation_bytes(layer.output_elements),
            }
        ),
        weight_bytes=weights,
        metadata_bytes=steps,
        notes=("weights reach the PEs in time: no memory behind them limits",),
    )


def _entries(task: LayerTask, machine: IndexedSynapseParameters) -> IntArray:
    """(m, windows) stored entries."""
    layer = task.layer
    if task.weights.mask is None:
        return np.tile(edges(layer.k, machine.window), (layer.m, 1))
    return step_entries(task.weights.mask, machine.window, 2**machine.step_bits)


def _work(task: LayerTask, machine: IndexedSynapseParameters, entries: IntArray) -> IntArray:
    """(groups · row blocks · windows, PEs) busy cycles; PEs without a row have none."""
    layer, units = task.layer, task.hardware.units
    rows = layer.m // layer.groups
    blocks = ceil_div(rows, units)
    cycles = np.maximum(1, -(-entries // machine.multipliers)).reshape(layer.groups, rows, -1)
    padded = np.zeros((layer.groups, blocks * units, cycles.shape[2]), dtype=np.int64)
    padded[:, :rows] = cycles
    by_pe = padded.reshape(layer.groups, blocks, units, -1).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(by_pe.reshape(-1, units))


def _plan(
    task: LayerTask, machine: IndexedSynapseParameters, work: IntArray, stored: tuple[int, int]
) -> Plan:
    """All windows of one output position after the other; so many positions that they stay few tiles are
    planned, and repeated.
    """
    layer, hardware = task.layer, task.hardware
    repeat = _repeat(layer.n, len(work))
    rows = np.tile(np.arange(len(work), dtype=np.int64), layer.n // repeat)
    moved = (
        *stored,
        *(task.activation_bytes(size) for size in (layer.input_elements, layer.output_elements)),
    )
    # the engine drains nothing here, so outputs share the channel as a stream of their own
    names = ("weights", "metadata", "inputs", "outputs")
    return Plan(
        kind=TileKind.MULTICAST,
        units=hardware.units,
        channels=(Channel(name="dram", bytes_per_cycle=hardware.bytes_per_cycle("dram") or 1e30),),
        fetch_streams=tuple(Stream(name=name, channel=0) for name in names),
        fetch_bytes=np.stack([spread(ceil_div(size, repeat), np.ones(len(rows))) for size in moved], axis=1),
        work=work,
        work_row=rows,
        queue_credits=machine.windows_ahead,
        repeat=repeat,
        overhead_cycles=hardware.launch_s * hardware.clock_hz,
    )


def _repeat(positions: int, tiles: int) -> int:
    """The fewest repetitions of whole positions with at most ``_MOST_TILES`` tiles each."""
    fewest = ceil_div(positions * tiles, _MOST_TILES)
    return (
        next(count for count in range(fewest, positions + 1) if positions % count == 0) if fewest > 1 else 1
    )
