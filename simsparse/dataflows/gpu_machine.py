"""What every GPU kernel shares: operands in bytes, the two channels, a plan from blocks and slices.

Loads of a slice go to the L2 for all their bytes and to DRAM for those that the L2 footprint counter finds
missing; outputs leave through both. Weights and activations start in DRAM. One clock cycle is an SM cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import LayerTask
from simsparse.dataflows.tiling import ceil_div, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import GpuTilesParameters
from simsparse.ir import LayerKind
from simsparse.plan import Channel, FloatArray, IntArray, Plan, Stream, TileKind

L2, DRAM = 0, 1
_FETCH = (
    Stream(name="weights", channel=L2),
    Stream(name="weights", channel=DRAM),
    Stream(name="inputs", channel=L2),
    Stream(name="inputs", channel=DRAM),
)
_DRAIN = (Stream(name="outputs", channel=L2), Stream(name="outputs", channel=DRAM))


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``groups`` products of (rows, k) · (k, columns), and the bytes of all their operands."""

    groups: int
    rows: int
    k: int
    columns: int
    value_bits: int
    weight_bytes: int
    input_bytes: int
    """Input elements that exist: a convolution's windows overlap, so fewer than k x columns x groups."""
    output_bytes: int

    def bytes_of(self, elements: FloatArray | IntArray) -> IntArray:
        """Whole bytes of each of so many values."""
        size: FloatArray = np.asarray(elements, dtype=np.float64) * (self.value_bits / 8)
        return np.ceil(size).astype(np.int64)


def parameters(task: LayerTask) -> GpuTilesParameters:
    """The machine's GPU parameters."""
    found = task.hardware.dataflow
    if not isinstance(found, GpuTilesParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected gpu-tiles parameters, got {found.family}")
    return found


def product_of(task: LayerTask) -> Product:
    """The product of a layer; an activation product streams its left operand like weights."""
    layer = task.layer
    inputs = layer.groups * layer.k * layer.n
    read = layer.input_elements - (0 if layer.kind.has_weights else layer.m * layer.k)
    return Product(
        groups=layer.groups,
        rows=layer.m // layer.groups,
        k=layer.k,
        columns=layer.n,
        value_bits=task.value_bits,
        weight_bytes=sum(stored(task))
        if layer.kind.has_weights
        else task.activation_bytes(layer.m * layer.k),
        input_bytes=task.activation_bytes(min(inputs, max(1, read))),
        output_bytes=task.activation_bytes(layer.m * layer.n),
    )


def stored(task: LayerTask) -> tuple[int, int]:
    """Bytes of stored weights and of their metadata; none for a product of two activations."""
    return (0, 0) if task.layer.kind == LayerKind.MATMUL else stored_bytes(task)


def channels(task: LayerTask) -> tuple[Channel, Channel]:
    """The L2 and the DRAM channel, in bytes per SM cycle."""
    machine, out = task.hardware, []
    for name, share in (("l2", 1.0), ("dram", parameters(task).dram_efficiency)):
        rate = machine.bytes_per_cycle(name)
        latency = machine.level(name).latency_s * machine.clock_hz
        out.append(Channel(name=name, bytes_per_cycle=share * rate if rate else 1e30, latency_cycles=latency))
    return out[0], out[1]


def l2_capacity(task: LayerTask) -> int:
    """Bytes that the L2 holds; practically infinite where the machine states none."""
    return int(task.hardware.level("l2").capacity_bytes or 2**62)


def block_plan(
    task: LayerTask,
    *,
    slice_start: IntArray,
    fetch: IntArray,
    outputs: tuple[IntArray, IntArray],
    compute: FloatArray,
    blocks_per_unit: int,
    stages: int,
    fill_cycles: float,
) -> Plan:
    """Thread blocks in dispatch order: slices (S, 4) fetched, (S,) computed, outputs drained."""
    machine = task.hardware
    return Plan(
        kind=TileKind.CHAIN,
        units=machine.units,
        channels=channels(task),
        fetch_streams=_FETCH,
        fetch_bytes=fetch,
        drain_streams=_DRAIN,
        drain_bytes=np.stack(outputs, axis=1),
        compute_cycles=compute,
        slice_start=slice_start,
        slots_per_unit=blocks_per_unit,
        loads_in_flight=stages,
        start_cycles=fill_cycles,
        overhead_cycles=machine.launch_s * machine.clock_hz,
    )


def raster(row_panels: int, column_panels: int, group: int) -> tuple[IntArray, IntArray]:
    """(row panel, column panel) of each block in dispatch order.

    ``group`` row panels are neighbours, and the columns pass inside each group; 0 takes all row panels at
    once.

    >>> [axis.tolist() for axis in raster(3, 2, 2)]
    [[0, 1, 0, 1, 2, 2], [0, 0, 1, 1, 0, 1]]
    """
    group = row_panels if group == 0 else min(group, row_panels)
    row, column = np.divmod(np.arange(row_panels * column_panels, dtype=np.int64), column_panels)
    order = np.lexsort((row, column, row // group))
    return row[order], column[order]


def starts(lengths: IntArray) -> IntArray:
    """Where each of consecutive runs begins, and where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def whole_steps(k: int, step: int) -> int:
    """``k`` padded to whole instructions."""
    return ceil_div(k, step) * step
