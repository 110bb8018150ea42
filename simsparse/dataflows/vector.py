"""Layers without a matrix product: activation functions, normalisation, pooling, additions, data movement.

Kinds that the machine applies on the way out of the layer before (its ``epilogue``) take no time of their
own. The others stream their inputs and outputs once through the innermost shared level that holds both (the
second level of the machine's hierarchy, else DRAM) while a vector unit works on them; nothing is fused into
neighbouring layers. A movement that reads along another axis than it writes gathers whole sectors through the
L2 of a machine that has them (see `gpu_layout`).
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.gpu_layout import transposed_bytes
from simsparse.dataflows.task import LayerPlan
from simsparse.dataflows.tiling import spread
from simsparse.errors import UnsupportedError
from simsparse.hardware import DTYPE_BITS, GpuTilesParameters, HardwareModel
from simsparse.ir import Layer
from simsparse.plan import Channel, Plan, Stream, TileKind
from simsparse.results import Counts

_TILES = 16  # enough for fill and drain to overlap; the stream is uniform


def plan_vector(layer: Layer, hardware: HardwareModel, dtype: str) -> LayerPlan:
    """Plan a layer that is no matrix product.

    Raises
    ------
    UnsupportedError
        If the machine has no vector unit.
    """
    if str(layer.kind) in hardware.epilogue:
        return _in_epilogue(layer)
    rate = hardware.vector_operations_per_cycle
    if rate is None:
        raise UnsupportedError("the machine has no unit for layers without a matrix product")
    width = DTYPE_BITS[dtype]
    inputs, outputs = -(-layer.input_elements * width // 8), -(-layer.output_elements * width // 8)
    level = next(
        (
            level
            for level in hardware.memory[1:2]
            if inputs + outputs <= (level.capacity_bytes or float("inf"))
        ),
        hardware.memory[0],
    )
    share = np.ones(_TILES)
    fetched = [(_channel(hardware, level.name), spread(inputs, share))]
    if layer.transposes and isinstance(hardware.dataflow, GpuTilesParameters):
        gathered = transposed_bytes(layer.input_elements, width, hardware.dataflow.sector_bytes)[0]
        fetched = [
            *(fetched if level.name != "l2" else []),
            (_channel(hardware, "l2"), spread(gathered, share)),
        ]
    return LayerPlan(
        plan=Plan(
            kind=TileKind.UNICAST,
            units=1,
            channels=tuple(channel for channel, _ in fetched),
            fetch_streams=tuple(Stream(name="inputs", channel=index) for index in range(len(fetched))),
            fetch_bytes=np.stack([moved for _, moved in fetched], axis=1),
            drain_streams=(Stream(name="outputs", channel=0),),
            drain_bytes=spread(outputs, share)[:, None],
            compute_cycles=spread(layer.operations, share) / rate,
            overhead_cycles=hardware.launch_s * hardware.clock_hz,
        ),
        kernel="vector unit" if layer.operations else "copy",
        macs_done=0,
        counts=Counts({("vector", "operation"): layer.operations}),
        weight_bytes=0,
        metadata_bytes=0,
    )


def _channel(hardware: HardwareModel, name: str) -> Channel:
    """The way to a memory level, at the share of its bandwidth that streaming sustains."""
    rate = hardware.bytes_per_cycle(name)
    gpu = hardware.dataflow
    if rate and name == "dram" and isinstance(gpu, GpuTilesParameters):
        rate *= gpu.dram_efficiency
    return Channel(name=name, bytes_per_cycle=rate or 1e30)


def _in_epilogue(layer: Layer) -> LayerPlan:
    return LayerPlan(
        plan=Plan(kind=TileKind.UNICAST, units=1),
        kernel="on the way out",
        macs_done=0,
        counts=Counts({("vector", "operation"): layer.operations}),
        weight_bytes=0,
        metadata_bytes=0,
    )
