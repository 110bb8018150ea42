"""Many scalar-CSC PEs behind a hierarchical mesh (Eyeriss v2, the chip).

A PE works on a tile: up to ``psum_entries`` rows of W, as many positions of k as its scratchpads hold
nonzeros of, and one row of outputs. It walks the nonzero inputs and meets each with the nonzero weights of
its column, ``macs_per_pair`` per cycle:

    cycles(tile) = Σ over k in the tile of nonzero inputs(k) · ceil(nonzero weights(k) / macs_per_pair)

Tiles are dealt to the PEs in passes, one tile each; partial sums of a pass are added along the mesh, so the
next pass starts when its slowest PE is done. The mesh delivers by unicast, multicast or broadcast as fast as
PEs read.

Source: Chen et al., Eyeriss v2: A flexible accelerator for emerging deep neural networks on mobile devices,
JETCAS 2019, sections III (hierarchical mesh) and IV (sparse PE). Limits: no network or buffer ever limits.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.scalar_csc import element_counts
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import MeshCscParameters
from simsparse.kernels.count_mask import column_counts
from simsparse.plan import Channel, FloatArray, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    machine, layer = task.hardware.dataflow, task.layer
    if not isinstance(machine, MeshCscParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected mesh-csc parameters")
    if not layer.kind.has_weights:
        raise UnsupportedError("both operands are activations; a PE holds weights compressed ahead of time")
    k_tile = _k_tile(task, machine)
    cycles = np.concatenate([_group(task, machine, group, k_tile) for group in range(layer.groups)])
    inputs = task.activations.row_nnz
    done = int((task.weights.column_nnz(layer.groups) * inputs).sum())
    met = int(inputs.sum()) * (layer.m // layer.groups)
    row_tiles = ceil_div(layer.m // layer.groups, machine.psum_entries)
    values, metadata = stored_bytes(task)
    return LayerPlan(
        plan=_plan(task, cycles),
        kernel=f"csc x csc, {min(machine.psum_entries, layer.m)} rows by {k_tile} of k",
        macs_done=done,
        macs_gated=met - done,
        macs_skipped=layer.macs - met,
        counts=element_counts(
            task, done, met, row_tile=machine.psum_entries, k_tile=k_tile, loads=_rows_of_outputs(task)
        )
        + Counts(
            {
                ("buffer", "byte"): task.activation_bytes(
                    int(inputs.sum()) * row_tiles + layer.output_elements * ceil_div(layer.k, k_tile)
                )
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=("the mesh delivers as fast as PEs read: no network or buffer limits",),
    )


def _k_tile(task: LayerTask, machine: MeshCscParameters) -> int:
    """Positions of k whose nonzeros fit a PE, at the layer's mean densities."""
    rows = min(machine.psum_entries, task.layer.m // task.layer.groups)
    weights = machine.weight_entries / max(rows * task.weights.density, 1.0)
    inputs = machine.input_entries / max(task.activations.density, 1 / machine.input_entries)
    return max(1, min(task.layer.k, int(min(weights, inputs))))


def _rows_of_outputs(task: LayerTask) -> int:
    conv = task.layer.conv
    return conv.out_height * conv.batch if conv else min(task.layer.n, task.hardware.units)


def _group(task: LayerTask, machine: MeshCscParameters, group: int, k_tile: int) -> FloatArray:
    """(row tiles · k tiles · rows of outputs,) cycles of one group's tiles."""
    layer = task.layer
    weights, inputs = _weights(task, machine, group), _inputs(task, group)
    tiles = ceil_div(layer.k, k_tile)
    grown = tiles * k_tile - layer.k
    weights = np.pad(weights, ((0, 0), (0, grown))).reshape(len(weights), tiles, k_tile)
    inputs = np.pad(inputs, ((0, grown), (0, 0))).reshape(tiles, k_tile, -1)
    cycles: FloatArray = np.matmul(weights.transpose(1, 0, 2).astype(np.float64), inputs.astype(np.float64))
    return cycles.ravel()


def _weights(task: LayerTask, machine: MeshCscParameters, group: int) -> IntArray:
    """(row tiles, k) cycles that a nonzero input of each column takes in each tile of rows."""
    rows = task.layer.m // task.layer.groups
    heights = edges(rows, machine.psum_entries)
    if task.weights.mask is None:
        return np.repeat(-(-heights // machine.macs_per_pair)[:, None], task.layer.k, axis=1)
    start = group * rows + np.cumsum(heights) - heights
    counts = [column_counts(task.weights.mask[a : a + h]) for a, h in zip(start, heights, strict=True)]
    return -(-np.stack(counts) // machine.macs_per_pair)


def _inputs(task: LayerTask, group: int) -> IntArray:
    """(k, rows of outputs) nonzero inputs that each position of k meets in one row of outputs."""
    layer, rows = task.layer, _rows_of_outputs(task)
    width = edges(layer.n, ceil_div(layer.n, rows))
    if task.activations.is_dense:
        return np.tile(width, (layer.k, 1))
    met = task.activations.columns(group)
    return np.add.reduceat(met, np.cumsum(width) - width, axis=0, dtype=np.int64).T


def _plan(task: LayerTask, cycles: FloatArray) -> Plan:
    """Tiles without a product take no place in a pass; one of them stays where there is no other."""
    busy = cycles[cycles > 0] if cycles.any() else cycles[:1]
    units, layer = task.hardware.units, task.layer
    values, metadata = stored_bytes(task)
    inputs, outputs = (
        task.activation_bytes(round(elements * density))
        for elements, density in (
            (layer.input_elements, task.activations.density),
            (layer.output_elements, task.activations.output_density),
        )
    )
    per_tile, place = np.ones(len(busy)), np.arange(len(busy), dtype=np.int64)
    return Plan(
        kind=TileKind.UNICAST,
        units=units,
        channels=(Channel(name="dram", bytes_per_cycle=task.hardware.bytes_per_cycle("dram") or 1e30),),
        fetch_streams=tuple(Stream(name=name, channel=0) for name in ("weights", "metadata", "inputs")),
        fetch_bytes=np.stack([spread(total, per_tile) for total in (values, metadata, inputs)], axis=1),
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=spread(outputs, per_tile)[:, None],
        compute_cycles=busy,
        unit=place % units,
        barrier=place // units,
        overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
    )
