"""Dense twins of the Cartesian-product machine: the same tiles of the plane, every product (DCNN).

PE (i, j) computes its outputs of a block of output channels as dot products; every PE waits for the one with
the largest tile. Weights stream over DRAM overlapped with compute; activations that are too large for the PEs
cross it before, overlapped with nothing. Zero gating and run-length coded spilling save energy and traffic
(DCNN-opt), never compute time.

Source: Parashar et al., SCNN: An accelerator for compressed-sparse convolutional neural networks, ISCA 2017,
section V (DCNN and DCNN-opt).
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cartesian_plane import Plane, ceil_each, plane, spilled
from simsparse.dataflows.task import LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import PlanarDenseParameters
from simsparse.plan import Channel, Plan, Stream, TileKind
from simsparse.results import Counts


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    machine, layer = task.hardware.dataflow, task.layer
    if not isinstance(machine, PlanarDenseParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected planar-dense parameters")
    if not layer.kind.has_weights:
        raise UnsupportedError("both operands are activations; the machine streams weights from DRAM")
    on = plane(task, machine.grid)
    spill = _spill(task, machine, on)
    done = layer.macs
    if machine.zero_gating:
        done = effectual_macs(task.weights, task.activations, layer.groups)
    steps = ceil_div(layer.macs, machine.dot_length)
    values, metadata = stored_bytes(task)
    return LayerPlan(
        plan=_plan(task, machine, on, spill),
        kernel=f"{machine.dot_length}-long dot products",
        macs_done=done,
        macs_gated=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): layer.macs - done,
                ("accumulator", "update"): steps,
                ("accumulator", "drain"): layer.output_elements,
                ("weight_buffer", "byte"): task.activation_bytes(layer.macs),
                ("activation_ram", "byte"): task.activation_bytes(ceil_div(layer.macs, machine.output_group))
                + task.activation_bytes(layer.output_elements),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=("activations that do not fit the PEs cross DRAM, not overlapped",) if spill else (),
    )


def _spill(task: LayerTask, machine: PlanarDenseParameters, on: Plane) -> int:
    """Bytes of one image's inputs and outputs that cross DRAM; capacity is needed at full width."""
    width = task.value_bits
    inputs = np.array([task.layer.input_elements // on.images])
    tile = on.tile[0] * on.stride[0] * on.tile[1] * on.stride[1] * on.channels
    raw = int(
        spilled(
            on,
            task.layer,
            inputs,
            np.array([tile]),
            output_share=1.0,
            bits=width,
            capacity_bytes=machine.activation_capacity_bytes,
        )[0]
    )
    if not raw or not machine.spill_run_bits:
        return raw
    bits = width + machine.spill_run_bits
    outputs = task.layer.output_elements // on.images
    stored = int(inputs[0]) * task.activations.density + outputs * task.activations.output_density
    return min(raw, ceil_div(round(stored * bits), 8))


def _plan(task: LayerTask, machine: PlanarDenseParameters, on: Plane, spill: int) -> Plan:
    layer = task.layer
    values, metadata = stored_bytes(task)
    sizes = edges(layer.m // layer.groups, machine.output_group)
    heights, row = np.unique(np.tile(sizes, layer.groups), return_inverse=True)
    work = ceil_each(heights[:, None] * layer.k * on.outputs[None, :], machine.dot_length)
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
        fetch_bytes=np.stack([spread(total, heights[row]) for total in (values, metadata)], axis=1),
        serial_streams=(Stream(name="spilled activations", channel=0),),
        serial_bytes=np.array([spill], dtype=np.int64),
        work=work,
        work_row=row.astype(np.int64),
        barrier=np.arange(len(row), dtype=np.int64),
        queue_credits=1,
        issue_cycles=0,
        repeat=on.images,
        overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
    )
