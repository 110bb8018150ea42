"""Outer products of bitmap-compressed vectors on tensor cores (dual-side sparse tensor core, DSTC).

An output tile of ``tile_m`` × ``tile_n`` stays in accumulators while k passes. At each position of k the nA
nonzeros of W's vector meet the nB nonzeros of X's; vectors without nonzeros cost nothing. X goes in chunks of
``chunk_n``, W is condensed and packed ``pack_m`` per cycle across k, so a position costs ``ceil(nB / chunk_n)
· (nA / pack_m + setup_cycles)`` cycles; a design that cannot pack across k pays ``ceil(nA / pack_m)``. Counts
are exact: over a whole product they are two matrix products of per-vector counts. Output tiles go to the next
free unit; traffic of DRAM, and of shared memory where the machine names a panel, overlaps.

Source: Wang et al., Dual-side sparse tensor core, ISCA 2021. ``setup_cycles`` is fitted on its Fig. 21.
Without packing across k it is the design as the tensor-core study of Sparseloop (MICRO 2022, Fig. 15) has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.dataflows.task import BoolArray, LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import OuterProductParameters
from simsparse.plan import Channel, FloatArray, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_TILES = 1 << 15
"""More output tiles than this are executed in runs of neighbours; the counts stay exact."""
_SLICES = 16
"""At most so many slices along k of one output tile, so that its operands arrive while it computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The output tiles, (groups · m tiles, n tiles)."""

    tile: tuple[int, int]
    loaded: FloatArray  # Σ over k of chunks of X × slots of W
    chunks: FloatArray  # Σ over k of chunks of X where W's vector holds anything
    area: IntArray  # outputs
    cycles: FloatArray


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product; with ``dense`` storage W counts as full. Zeros of X are skipped either way."""
    core = task.hardware.dataflow
    if not isinstance(core, OuterProductParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected outer-product parameters")
    layer = task.layer
    tiles = [(core.tile_m, core.tile_n), (core.tile_n, core.tile_m)][: 1 + core.turns]
    inputs = task.activations
    columns = [] if inputs.is_dense else [inputs.columns(group) for group in range(layer.groups)]
    choices = (_work(task, core, columns, *tile) for tile in tiles)
    work = min(choices, key=lambda choice: float(choice.cycles.sum()))
    done = (
        effectual_macs(task.weights, task.activations, layer.groups)
        if _skips(task)
        else int(task.activations.row_nnz.sum()) * (layer.m // layer.groups)
    )
    values, metadata = stored_bytes(task)
    loads = int(work.loaded.sum()) + int(work.chunks.sum()) * core.chunk_n
    return LayerPlan(
        plan=_plan(task, core, work),
        kernel=f"{task.format.name} outer products {work.tile[0]}x{work.tile[1]}",
        macs_done=done,
        macs_skipped=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("accumulator", "access"): 2 * done,
                ("register", "byte"): task.activation_bytes(loads),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def _skips(task: LayerTask) -> bool:
    """Whether removed weights are skipped."""
    return task.support.role == "skip" and task.weights.mask is not None


def _work(
    task: LayerTask, core: OuterProductParameters, columns: Sequence[BoolArray], tile_m: int, tile_n: int
) -> _Work:
    layer = task.layer
    loaded, chunks = [], []
    for group in range(layer.groups):
        weights = _weight_slots(task, core, tile_m, group)
        inputs = _input_chunks(task, core, columns, tile_n, group)
        loaded.append(_over_k(weights, inputs, layer.k))
        chunks.append(_over_k(weights > 0, inputs, layer.k))
    rows = np.tile(edges(layer.m // layer.groups, tile_m), layer.groups)
    slots, starts = np.concatenate(loaded), np.concatenate(chunks)
    return _Work(
        tile=(tile_m, tile_n),
        loaded=slots,
        chunks=starts,
        area=np.outer(rows, edges(layer.n, tile_n)),
        cycles=slots / core.pack_m + starts * core.setup_cycles,
    )


def _over_k(weights: NDArray[Any], inputs: FloatArray, k: int) -> FloatArray:
    """Σ over k of products of per-vector counts; an operand of one column is the same at every k."""
    if weights.shape[1] == inputs.shape[1] == 1:
        inputs = inputs * k
    elif weights.shape[1] == 1:
        inputs = inputs.sum(axis=1, keepdims=True)
    elif inputs.shape[1] == 1:
        weights = weights.sum(axis=1, keepdims=True)
    # whole numbers are exact in either type, in any order of summation
    largest = float(weights.max(initial=0)) * float(inputs.max(initial=0)) * weights.shape[1]
    type_ = np.float32 if largest < 1 << 24 else np.float64
    product: FloatArray = np.matmul(weights.astype(type_), inputs.astype(type_).T).astype(np.float64)
    return product


def _weight_slots(task: LayerTask, core: OuterProductParameters, tile_m: int, group: int) -> FloatArray:
    """(m tiles, k) slots that the nonzeros of W's vectors take; (m tiles, 1) where none is removed."""
    rows = task.layer.m // task.layer.groups
    if task.weights.mask is None or not _skips(task):
        counts = edges(rows, tile_m)[:, None]
    else:
        from simsparse.kernels.count_outer import vector_counts

        counts = vector_counts(task.weights.mask[group * rows : (group + 1) * rows], tile_m)
    if core.packs_across_k:
        return counts.astype(np.float64)
    slots: FloatArray = np.ceil(counts / core.pack_m) * core.pack_m
    return slots


def _input_chunks(
    task: LayerTask, core: OuterProductParameters, columns: Sequence[BoolArray], tile_n: int, group: int
) -> FloatArray:
    """(n tiles, k) chunks that the nonzeros of X's vectors fill; (n tiles, 1) where none is zero."""
    if not columns:
        counts = edges(task.layer.n, tile_n)[:, None]
    else:
        from simsparse.kernels.count_outer import vector_counts

        counts = vector_counts(columns[group], tile_n)
    chunks: FloatArray = np.ceil(counts / core.chunk_n)
    return chunks


def _plan(task: LayerTask, core: OuterProductParameters, work: _Work) -> Plan:
    hardware, layer = task.hardware, task.layer
    starts = np.arange(0, work.cycles.size, ceil_div(work.cycles.size, _TILES))
    tiles, outputs = (np.add.reduceat(part.ravel(), starts) for part in (work.cycles, work.area))
    slices = max(1, min(_SLICES, layer.k, _TILES // 4 // len(tiles)))
    written = task.activation_bytes(layer.output_elements)
    reads = {"dram": _dram_bytes(task)}
    if core.panel:
        reads["smem"] = _shared_bytes(task, core)
    return Plan(
        kind=TileKind.CHAIN,
        units=hardware.units,
        channels=tuple(
            Channel(name=name, bytes_per_cycle=hardware.bytes_per_cycle(name) or 1e30) for name in reads
        ),
        fetch_streams=tuple(Stream(name="operands", channel=i) for i in range(len(reads))),
        fetch_bytes=np.stack([spread(size, np.repeat(outputs, slices)) for size in reads.values()], axis=1),
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=spread(written, outputs)[:, None],
        compute_cycles=np.repeat(tiles / slices, slices),
        slice_start=np.arange(len(tiles) + 1, dtype=np.int64) * slices,
        slots_per_unit=2,
        overhead_cycles=hardware.launch_s * hardware.clock_hz,
    )


def _dram_bytes(task: LayerTask) -> int:
    """DRAM bytes of both operands: half of the level on chip holds a panel of one while the other passes."""
    capacity = task.hardware.memory[1].capacity_bytes or float("inf")
    weights, inputs = sum(stored_bytes(task)), _input_bytes(task, task.layer.input_elements)
    by_inputs = weights * max(1, int(np.ceil(2 * inputs / capacity))) + inputs
    by_weights = weights + inputs * max(1, int(np.ceil(2 * weights / capacity)))
    return min(by_inputs, by_weights)


def _shared_bytes(task: LayerTask, core: OuterProductParameters) -> int:
    """Bytes of both operands with their bitmaps from shared memory, once per panel of outputs."""
    layer = task.layer
    weights, inputs = sum(stored_bytes(task)), _input_bytes(task, layer.groups * layer.k * layer.n)
    rows, columns = core.panel
    turned = ((rows, columns), (columns, rows))[: 1 + core.turns]
    return min(
        weights * ceil_div(layer.n, across) + inputs * ceil_div(layer.m // layer.groups, down)
        for down, across in turned
    )


def _input_bytes(task: LayerTask, elements: int) -> int:
    """X in memory: its nonzeros and one bit per value, or plain where nothing is zero."""
    if task.activations.is_dense:
        return task.activation_bytes(elements)
    return task.activation_bytes(round(elements * task.activations.density)) + ceil_div(elements, 8)
