"""Cartesian product of compressed weights and activations on a grid of PEs (SCNN).

A block of output channels is worked on at once. Its weights of one input channel are broadcast to all PEs
in vectors, as they arrive from DRAM, into a queue at each PE; the PE multiplies every vector with every
vector of its own nonzero inputs of that channel, so the channel costs it ceil(nA / 4) · ceil(nW / 4)
cycles, none if either is zero, and more where products wait for an accumulator bank
(``cartesian_banks.py``). Blocks are separated by a barrier. Products that fall outside the output plane are
formed and dropped. Activations stay in the PEs between layers unless a tile is too full for its memory;
then inputs and outputs cross DRAM, which overlaps with nothing.

Source: Parashar et al., SCNN: An accelerator for compressed-sparse convolutional neural networks, ISCA 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simsparse.dataflows.cartesian_banks import conflict_factor
from simsparse.dataflows.cartesian_plane import Plane, activation_counts, ceil_each, plane, spilled
from simsparse.dataflows.task import LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import CartesianParameters
from simsparse.kernels.count_cartesian import block_counts
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """The broadcasts of one repetition in order: which inputs they meet, how many weights, after which
    barrier.
    """

    row: IntArray
    weights: IntArray
    vectors: IntArray
    barrier: IntArray


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    machine, layer = task.hardware.dataflow, task.layer
    if not isinstance(machine, CartesianParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected cartesian parameters")
    if not layer.kind.has_weights:
        raise UnsupportedError(
            "both operands are activations; the machine multiplies with weights compressed ahead of time"
        )
    on = plane(task, machine.grid)
    inputs = activation_counts(task, on)
    vectors = ceil_each(inputs, machine.activation_vector)
    tiles = _tiles(task, machine, on, len(inputs))
    repeat = on.images // len(inputs)
    nonzeros = inputs.sum(axis=(1, 2))
    bits = task.value_bits + machine.activation_run_bits
    spill = spilled(
        on,
        layer,
        nonzeros.sum(axis=1),
        nonzeros.max(axis=1),
        output_share=task.activations.output_density,
        bits=bits,
        capacity_bytes=machine.activation_capacity_bytes,
    )
    done = real_products(task, on)
    met, stepped = inputs.sum(axis=3).ravel()[tiles.row], vectors.sum(axis=3).ravel()[tiles.row]
    # a given (k, n) mask may call padding nonzero; products with it are done by its word, though none exists
    formed = max(int(met @ tiles.weights) * repeat, done)
    values, metadata = stored_bytes(task)
    plan = _plan(task, machine, tiles, vectors.reshape(-1, task.hardware.units), spill, repeat)
    return LayerPlan(
        plan=replace(plan, cycles_per_work=conflict_factor(task, machine, on, inputs)),
        kernel=f"{machine.weight_vector}x{machine.activation_vector} cartesian product",
        macs_done=done,
        macs_skipped=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "dropped"): formed - done,
                ("crossbar", "product"): formed,
                ("accumulator", "update"): done,
                ("accumulator", "drain"): layer.output_elements,
                ("weight_queue", "read"): int(stepped @ tiles.vectors) * repeat,
                ("weight_queue", "write"): int(tiles.vectors.sum()) * task.hardware.units * repeat,
                ("activation_ram", "read"): int(stepped.sum()) * repeat,
                ("activation_ram", "write"): ceil_div(
                    round(layer.output_elements * task.activations.output_density), machine.activation_vector
                ),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=_notes(task, bool(spill.any())),
    )


def real_products(task: LayerTask, on: Plane) -> int:
    """Products of nonzeros that belong to an output; unlike a dense MAC count, none with padding."""
    if task.layer.conv is None or task.activations.is_masked or not task.activations.is_dense:
        return effectual_macs(task.weights, task.activations, task.layer.groups)
    from simsparse.kernels.count_windows import window_counts

    geometry = np.array([*on.kernel, *on.out, *on.stride, *on.padding, *on.dilation], dtype=np.int64)
    met = window_counts(np.ones((1, 1, *on.size), dtype=np.bool_), geometry) * on.images
    columns = task.weights.column_nnz(task.layer.groups).reshape(-1, met.size)
    return int(columns.sum(axis=0) @ met)


def _tiles(task: LayerTask, machine: CartesianParameters, on: Plane, images: int) -> Tiles:
    weights = _weight_counts(task, machine, on)
    groups, blocks, channels, phases = weights.shape
    rows = np.arange(groups * channels * phases).reshape(groups, 1, channels, phases)
    shape = (images, *weights.shape)
    row = rows + len(rows.ravel()) * np.arange(images).reshape(-1, 1, 1, 1, 1)
    barrier = np.arange(images * groups * blocks).reshape(images, groups, blocks, 1, 1)
    tiles = Tiles(
        row=np.broadcast_to(row, shape).ravel(),
        weights=np.broadcast_to(weights, shape).ravel(),
        vectors=np.broadcast_to(ceil_each(weights, machine.weight_vector), shape).ravel(),
        barrier=np.broadcast_to(barrier, shape).ravel(),
    )
    return _in_parts(tiles, machine)


def _weight_counts(task: LayerTask, machine: CartesianParameters, on: Plane) -> IntArray:
    """(groups, blocks, channels, phases) kept weights."""
    layer, phase_of = task.layer, on.phase_of
    if task.weights.mask is not None:
        return block_counts(task.weights.mask, layer.groups, machine.output_group, phase_of, on.phases)
    one_row = np.ones((layer.m, phase_of.size), dtype=np.bool_)
    counts = block_counts(one_row, layer.groups, machine.output_group, phase_of, on.phases)
    return np.repeat(counts, layer.k // phase_of.size, axis=2)


def _in_parts(tiles: Tiles, machine: CartesianParameters) -> Tiles:
    """The tiles that hold weights; one that is larger than the queue comes in parts that fill it."""
    room = machine.weight_queue_vectors
    parts = ceil_each(tiles.vectors, room)
    of = np.repeat(np.arange(len(parts)), parts)
    part = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    held = room * machine.weight_vector
    return Tiles(
        row=tiles.row[of],
        weights=np.minimum(tiles.weights[of] - part * held, held),
        vectors=np.minimum(tiles.vectors[of] - part * room, room),
        barrier=tiles.barrier[of],
    )


def _plan(
    task: LayerTask,
    machine: CartesianParameters,
    tiles: Tiles,
    vectors: IntArray,
    spill: IntArray,
    repeat: int,
) -> Plan:
    values, metadata = stored_bytes(task)
    images = len(spill)
    dram = task.hardware.level("dram")
    return Plan(
        kind=TileKind.MULTICAST,
        units=task.hardware.units,
        channels=(
            Channel(
                name="dram",
                bytes_per_cycle=task.hardware.bytes_per_cycle("dram") or 1e30,
                latency_cycles=dram.latency_s * task.hardware.clock_hz,
            ),
        ),
        fetch_streams=(Stream(name="weights", channel=0), Stream(name="metadata", channel=0)),
        fetch_bytes=np.stack([spread(total * images, tiles.weights) for total in (values, metadata)], axis=1),
        serial_streams=(Stream(name="spilled activations", channel=0),),
        serial_bytes=spill.sum(keepdims=True),
        work=vectors,
        work_row=tiles.row,
        work_scale=tiles.vectors,
        credits=tiles.vectors,
        barrier=tiles.barrier,
        queue_credits=machine.weight_queue_vectors,
        issue_cycles=0,
        repeat=repeat,
        overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
    )


def _notes(task: LayerTask, spills: bool) -> tuple[str, ...]:
    notes = []
    if spills:
        notes.append(
            "activations of layers whose fullest PE tile exceeds its memory cross DRAM, not overlapped"
        )
    if task.layer.conv is None:
        notes.append("linear layers run as 1x1 convolutions whose columns are dealt to the PEs")
    return tuple(notes)
