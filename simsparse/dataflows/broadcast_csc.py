"""Broadcast of nonzero activations into compressed, interleaved columns (EIE).

Rows of W are dealt to PEs in turn; each PE keeps its part of every column as (zero run, weight) entries
with runs of at most ``2**run_bits`` − 1, longer runs taking padding entries. A nonzero activation is
broadcast into a queue at each PE; the PE works off its column's entries, one per cycle, at least
``minimum_busy_cycles`` for the pointer read. Outputs are accumulated in passes of ``destination_registers``
per PE. A convolution is one matrix-vector product per output position.

Source: Han et al., EIE, ISCA 2016. ``control_overhead`` is calibrated on its Table IV (published actual
times are 2-8 % above the queue model at every size).
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.task import LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import BroadcastCscParameters
from simsparse.plan import IntArray, Plan, TileKind
from simsparse.results import Counts


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights, or they do not fit the PEs' weight memories.
    """
    engine = task.hardware.dataflow
    if not isinstance(engine, BroadcastCscParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected broadcast-csc parameters")
    layer = task.layer
    if not layer.kind.has_weights:
        raise UnsupportedError(
            "both operands are activations; the machine multiplies stored, compressed weights with a vector"
        )
    entries = column_entries(task, engine)
    _check_capacity(task, engine, entries)
    rows, barrier, repeat, broadcasts = _schedule(task, entries.shape[1])
    flat = entries.reshape(-1, task.hardware.units)
    executed = int((flat.sum(axis=1) * broadcasts).sum())
    pointer_reads = int(broadcasts.sum()) * task.hardware.units
    done = effectual_macs(task.weights, task.activations, layer.groups)
    values, metadata = stored_bytes(task)
    return LayerPlan(
        plan=Plan(
            kind=TileKind.MULTICAST,
            units=task.hardware.units,
            work=flat,
            work_row=rows,
            barrier=barrier,
            queue_credits=engine.queue_depth,
            minimum_busy_cycles=engine.minimum_busy_cycles,
            repeat=repeat,
            overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
        ),
        kernel=f"csc over {task.hardware.units} PEs",
        macs_done=done,
        macs_skipped=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "padding"): executed - done,
                ("weight_memory", "entry"): executed,
                ("pointer_memory", "read"): pointer_reads,
                ("activation_registers", "access"): executed,
                ("queue", "push"): pointer_reads,
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        time_factor=1.0 + engine.control_overhead,
        notes=("convolutions run as one matrix-vector product per output position",) if layer.conv else (),
    )


def column_entries(task: LayerTask, engine: BroadcastCscParameters) -> IntArray:
    """(groups, passes, k, PEs) entries each PE holds of each column, padding included."""
    layer, units = task.layer, task.hardware.units
    rows = layer.m // layer.groups
    per_pass = engine.destination_registers * units
    if task.weights.mask is None:
        return np.broadcast_to(
            _dense_entries(rows, units, per_pass)[None, :, None, :],
            (layer.groups, ceil_div(rows, per_pass), layer.k, units),
        ).copy()
    from simsparse.kernels.count_csc import banked_entries

    parts = [task.weights.mask[g * rows : (g + 1) * rows] for g in range(layer.groups)]
    return np.stack([banked_entries(part, units, 2**engine.run_bits, per_pass) for part in parts])


def _dense_entries(rows: int, units: int, per_pass: int) -> IntArray:
    """(passes, PEs) entries of a full column: the rows each PE owns, no padding."""
    return np.stack([np.bincount(np.arange(size) % units, minlength=units) for size in edges(rows, per_pass)])


def _check_capacity(task: LayerTask, engine: BroadcastCscParameters, entries: IntArray) -> None:
    fullest = int(entries.sum(axis=(0, 1, 2)).max())
    if fullest > engine.entries_per_pe and not task.ignore_capacity:
        raise UnsupportedError(
            f"the fullest PE needs {fullest} weight entries and holds {engine.entries_per_pe}"
            " (prune more, or use more PEs)"
        )


def _schedule(task: LayerTask, passes: int) -> tuple[IntArray, IntArray, int, IntArray]:
    """Broadcasts in order as rows of the work table, their barrier groups, repetitions, and uses of each
    row in all.

    With dense activations every output position broadcasts the same columns, and the barrier between
    positions leaves the machine idle, so one position is run and repeated n times; this is exact.
    """
    layer = task.layer
    blocks = np.arange(layer.groups * passes, dtype=np.int64)
    if task.activations.is_dense:
        rows = np.arange(len(blocks) * layer.k, dtype=np.int64)
        return rows, np.repeat(blocks, layer.k), layer.n, np.full(len(rows), layer.n, dtype=np.int64)
    order, groups = [], []
    uses = np.zeros(len(blocks) * layer.k, dtype=np.int64)
    for block in blocks:
        position, column = np.nonzero(task.activations.columns(int(block) // passes))
        order.append(block * layer.k + column)
        groups.append(block * layer.n + position)
        uses[block * layer.k : (block + 1) * layer.k] = np.bincount(column, minlength=layer.k)
    barrier = np.concatenate(groups)
    _, dense_barrier = np.unique(barrier, return_inverse=True)
    return np.concatenate(order), dense_barrier.astype(np.int64), 1, uses
