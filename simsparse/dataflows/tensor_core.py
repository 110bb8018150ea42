"""Tensor core fed from shared memory, dense (TC) or skipping structured zeros of W (STC and its variants).

W is walked in panels of ``tile_m`` rows, X in column tiles of ``tile_n``, k in steps of ``k_step`` kept
positions. Each step multiplies on the MAC array while the next step's operands come from shared memory and,
where needed, from DRAM: three resources that overlap, so the time approaches max(MACs, shared-memory bytes,
DRAM bytes) over their rates. A mask whose groups all hold at most ``keep`` weights runs structured; every
other mask runs dense. A flexible core takes several group sizes; one with compressed inputs moves X as its
nonzeros and a bitmap and gates the rest, which saves bytes and energy, never a multiplier's cycle.

Source: the tensor-core case study of Wu et al., Sparseloop, MICRO 2022 (Fig. 15), whose cycle counts it
reproduces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import TensorCoreParameters
from simsparse.plan import Channel, Plan, Stream, TileKind
from simsparse.results import Counts

_TILES = 4096
"""Plans with fewer k steps cut each along n, into at most ``_PIECES`` pieces whose outputs leave in turn."""
_PIECES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """One product as the core sees it: k in kept positions, padded to whole steps."""

    m: int
    k: int  # positions along k, padded
    kept: int  # kept positions along k, padded
    n: int
    tile_n: int
    metadata_bits: int  # per kept weight
    value_bytes: float
    input_bytes_per_value: float

    @property
    def weight_bytes(self) -> float:
        """W with its metadata."""
        return self.m * self.kept * (self.value_bytes + self.metadata_bits / 8)

    @property
    def input_bytes(self) -> float:
        """X."""
        return self.k * self.n * self.input_bytes_per_value


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product; the products of a grouped layer follow each other.

    Raises
    ------
    UnsupportedError
        If the weights are in an N:M format other than the core's.
    """
    core = task.hardware.dataflow
    if not isinstance(core, TensorCoreParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected tensor-core parameters")
    layer = task.layer
    keep, group = _structure(task, core)
    step = core.k_step * group // keep
    padded = ceil_div(layer.k, step) * step
    choices = [
        _Shape(
            m=layer.m // layer.groups,
            k=padded,
            kept=padded * keep // group,
            n=layer.n,
            tile_n=tile_n,
            metadata_bits=0 if keep == group else core.position_bits(group),
            value_bytes=task.value_bits / 8,
            input_bytes_per_value=_input_bytes(task, core),
        )
        for tile_n in core.tile_n
    ]
    shape = min(choices, key=lambda choice: _shared_bytes(choice, core).sum())
    plan = _plan(task, core, shape)
    executed = layer.m * min(layer.k, ceil_div(layer.k, group) * keep) * layer.n
    done = executed
    if core.compressed_inputs:
        done = executed * int(task.activations.row_nnz.sum()) // (layer.groups * layer.k * layer.n)
        done = max(done, effectual_macs(task.weights, task.activations, layer.groups))
    values, metadata = stored_bytes(task)
    steps = shape.kept // core.k_step
    padding = (f"k padded to a multiple of {step} on the tensor core",) if padded != layer.k else ()
    return LayerPlan(
        plan=plan,
        kernel=f"{keep}:{group} tiles {core.tile_m}x{shape.tile_n}"
        if keep != group
        else f"dense tiles {core.tile_m}x{shape.tile_n}",
        macs_done=done,
        macs_gated=executed - done,
        macs_skipped=layer.macs - executed,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): executed - done,
                ("register", "access"): layer.groups * shape.m * shape.n * steps,
                ("smem", "write_byte"): round(_dram_order(task, core, shape)[0]) * layer.groups,
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=padding,
    )


def _structure(task: LayerTask, core: TensorCoreParameters) -> tuple[int, int]:
    """(keep, group) that the core multiplies with; (1, 1) is dense."""
    if task.format.name != "nm":
        return 1, 1
    keep, group = getattr(task.format, "keep", 0), getattr(task.format, "group", 0)
    if keep != core.keep or group not in core.groups:
        known = ", ".join(f"{core.keep}:{known}" for known in core.groups)
        raise UnsupportedError(f"{task.hardware.name} skips zeros in {known} only, got {keep}:{group}")
    return keep, group


def _input_bytes(task: LayerTask, core: TensorCoreParameters) -> float:
    """Bytes of one value of X, its share of the bitmap included."""
    value_bytes = task.value_bits / 8
    if not core.compressed_inputs:
        return value_bytes
    layer = task.layer
    nonzeros = int(task.activations.row_nnz.sum())
    return value_bytes * nonzeros / (layer.groups * layer.k * layer.n) + 1 / 8


def _tile_axes(shape: _Shape, core: TensorCoreParameters) -> tuple[np.ndarray, np.ndarray, int]:
    return edges(shape.m, core.tile_m), edges(shape.n, shape.tile_n), shape.kept // core.k_step


def _shared_bytes(shape: _Shape, core: TensorCoreParameters) -> np.ndarray:
    """(n tiles, m panels) shared-memory bytes of one k step: W of the panel and X of the column tile."""
    m, n, _ = _tile_axes(shape, core)
    weights = m[None, :] * core.k_step * (shape.value_bytes + shape.metadata_bits / 8)
    inputs = n[:, None] * (core.k_step * shape.k / shape.kept) * shape.input_bytes_per_value
    shared: np.ndarray = weights + inputs
    return shared


def _dram_order(task: LayerTask, core: TensorCoreParameters, shape: _Shape) -> tuple[float, bool]:
    """DRAM bytes read for one product, and whether n is the outer loop.

    With n outside, X is read once and W once if all of it and one column tile of X fit shared memory, else
    once per column tile; with m outside, the roles change. The cheaper order is taken.
    """
    m, n, _ = _tile_axes(shape, core)
    capacity = task.hardware.level("smem").capacity_bytes or float("inf")
    weights, inputs = shape.weight_bytes, shape.input_bytes
    panel = min(core.tile_m, shape.m) / shape.m * weights
    column = min(shape.tile_n, shape.n) / shape.n * inputs
    with_n_outside = weights * (1 if weights + column <= capacity else len(n)) + inputs
    with_m_outside = weights + inputs * (1 if inputs + panel <= capacity else len(m))
    return min(with_n_outside, with_m_outside), with_n_outside <= with_m_outside


def _plan(task: LayerTask, core: TensorCoreParameters, shape: _Shape) -> Plan:
    hardware, layer = task.hardware, task.layer
    m, n, steps = _tile_axes(shape, core)
    macs: np.ndarray = m[None, :, None] * n[:, None, None] * np.full(steps, core.k_step)[None, None, :]
    shared = np.repeat(_shared_bytes(shape, core)[:, :, None], steps, axis=2)
    dram, n_outer = _dram_order(task, core, shape)
    written = np.zeros_like(macs)
    written[:, :, -1] = np.ceil(m[None, :] * n[:, None] * shape.value_bytes)
    shared_bytes = round(float(shared.sum()))
    pieces = min(_PIECES, ceil_div(_TILES, macs.size))

    def flat(array: np.ndarray) -> np.ndarray:
        ordered = (array if n_outer else array.transpose(1, 0, 2)).reshape(-1)
        return np.repeat(ordered / pieces, pieces)

    rate = hardware.macs_per_cycle[task.dtype] * hardware.units
    return Plan(
        kind=TileKind.UNICAST,
        units=1,
        channels=(
            Channel(name="dram", bytes_per_cycle=hardware.bytes_per_cycle("dram") or 1e30),
            Channel(name="smem", bytes_per_cycle=hardware.bytes_per_cycle("smem") or 1e30),
            Channel(
                name="dram write", bytes_per_cycle=hardware.bytes_per_cycle("dram") or 1e30, component="dram"
            ),
        ),
        fetch_streams=(Stream(name="operands", channel=0), Stream(name="operands", channel=1)),
        # shared memory prefetches far ahead of the tile at work, so DRAM is read at an even rate
        fetch_bytes=np.stack([spread(round(dram), flat(macs)), spread(shared_bytes, flat(shared))], axis=1),
        drain_streams=(Stream(name="outputs", channel=2),),
        drain_bytes=spread(int(written.sum()), flat(written))[:, None],
        compute_cycles=flat(macs) / rate,
        buffer_credits=2 * pieces,
        output_credits=2 * pieces,
        repeat=layer.groups,
        overhead_cycles=hardware.launch_s * hardware.clock_hz,
    )
