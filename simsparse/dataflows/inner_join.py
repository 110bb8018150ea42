"""Inner products of bitmask chunks (SparTen).

Both operands are stored as nonzeros behind bitmasks of ``chunk`` positions. A cluster holds filters, one or
two per multiplier, and works on one output position after the other: it broadcasts a chunk of the inputs,
every multiplier ANDs the two bitmasks, finds the places of matching values by prefix sums, and multiplies one
match per cycle. The next chunk follows when the slowest multiplier of the cluster is done, so a cluster loses
what its filters differ in density:

    cycles(position) = Σ over chunks of max over multipliers of max(least, |W_chunk ∧ X_chunk|)

Greedy balancing holds two filters per multiplier, a dense one with a sparse one. In software they are paired
once, by the density of the whole filter (GB-S); in hardware anew in every chunk, by the density there (GB-H).
Output positions are dealt to the clusters, which never wait for each other.

Source: Gondimalla et al., SparTen: A sparse tensor accelerator for convolutional neural networks, MICRO 2019,
sections 3.1 (inner join) and 3.3 (greedy balancing). Limits: operands arrive in time, and permuting partial
sums back after GB-H costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import BoolArray, LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import InnerJoinParameters
from simsparse.kernels.count_join import WordArray, join_cycles
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """(groups · blocks, n) cycles of each block of filters at each output position, and chunk pairs met."""

    cycles: IntArray
    pairs: int


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    machine, layer = task.hardware.dataflow, task.layer
    if not isinstance(machine, InnerJoinParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected inner-join parameters")
    if not layer.kind.has_weights:
        raise UnsupportedError("both operands are activations; the machine joins with filters held in place")
    work = _work(task, machine)
    done = effectual_macs(task.weights, task.activations, layer.groups)
    values, metadata = stored_bytes(task)
    return LayerPlan(
        plan=_plan(task, machine, work),
        kernel=f"inner join, balance {machine.balance}",
        macs_done=done,
        macs_skipped=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("join", "chunk"): work.pairs,
                ("filter_buffer", "byte"): task.activation_bytes(done),
                ("input_buffer", "byte"): task.activation_bytes(done),
                ("accumulator", "update"): done,
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=("operands reach the clusters in time: no memory behind them limits",),
    )


def _work(task: LayerTask, machine: InnerJoinParameters) -> Work:
    layer = task.layer
    rows = layer.m // layer.groups
    per_block = machine.cluster * machine.filters_per_unit
    parts = []
    for group in range(layer.groups):
        kept = task.weights.dense_mask[group * rows : (group + 1) * rows]
        kept = kept[_order(kept, machine)]
        # dense inputs are alike at every position: one of them stands for all
        met = (
            np.ones((1, layer.k), np.bool_) if task.activations.is_dense else task.activations.columns(group)
        )
        filters, inputs = words(kept, machine.chunk), words(met, machine.chunk)
        unit = _units(filters, machine, per_block)
        found = join_cycles(filters, inputs, unit, per_block, machine.cluster, machine.minimum_chunk_cycles)
        parts.append(np.broadcast_to(found, (len(found), layer.n)))
    pairs = layer.m * layer.n * ceil_div(layer.k, machine.chunk)
    return Work(cycles=np.concatenate(parts), pairs=pairs)


def words(mask: BoolArray, chunk: int) -> WordArray:
    """A (rows, k) mask as (rows, chunks, chunk / 64) words of bits."""
    rows, k = mask.shape
    chunks = ceil_div(k, chunk)
    padded = np.zeros((rows, chunks * chunk), dtype=np.bool_)
    padded[:, :k] = mask
    packed: WordArray = np.packbits(padded, axis=1).view(np.uint64)
    return packed.reshape(rows, chunks, chunk // 64)


def _order(kept: BoolArray, machine: InnerJoinParameters) -> IntArray:
    """Filters as they are dealt to blocks; with balancing the i-th densest beside the i-th sparsest."""
    if machine.balance == "none":
        return np.arange(len(kept))
    return paired(np.count_nonzero(kept, axis=1))


def paired(weight: IntArray) -> IntArray:
    """Indices by weight, the heaviest first, each followed by its counterpart from the light end.

    >>> paired(np.array([5, 1, 9, 3])).tolist()
    [2, 1, 0, 3]
    """
    order = np.argsort(-weight, kind="stable")
    half = (len(order) + 1) // 2
    mixed = np.empty(len(order), dtype=np.int64)
    mixed[0::2] = order[:half]
    mixed[1::2] = order[half:][::-1]
    return mixed


def _units(filters: WordArray, machine: InnerJoinParameters, per_block: int) -> IntArray:
    """(chunks, filters) the multiplier of each filter in its block, chunk by chunk."""
    count, chunks = filters.shape[:2]
    unit = np.tile(np.arange(count) % per_block, (chunks, 1)).astype(np.int64)
    if machine.balance == "none":
        return unit
    weight = _bits(filters)
    for first in range(0, count, per_block):
        block = slice(first, min(count, first + per_block))
        if machine.balance == "software":
            unit[:, block] = dealt(weight[block].sum(axis=1), machine.cluster)
            continue
        for chunk in range(chunks):
            unit[chunk, block] = dealt(weight[block, chunk], machine.cluster)
    return unit


def dealt(weight: IntArray, cluster: int) -> IntArray:
    """The multiplier of each filter of a block: the densest alone while multipliers are left over, the others
    in pairs of dense and sparse.

    >>> dealt(np.array([5, 1, 9, 3]), 3).tolist()
    [1, 2, 0, 2]
    """
    order = np.argsort(-weight, kind="stable")
    alone = min(len(order), 2 * cluster - len(order)) if len(order) > cluster else len(order)
    rest = order[alone:]
    pairs = (len(rest) + 1) // 2
    unit = np.empty(len(order), dtype=np.int64)
    unit[order[:alone]] = np.arange(alone)
    unit[rest[:pairs]] = alone + np.arange(pairs)
    unit[rest[pairs:][::-1]] = alone + np.arange(len(rest) - pairs)
    return unit


def _bits(filters: WordArray) -> IntArray:
    """(filters, chunks) set bits."""
    bits: IntArray = np.unpackbits(filters.view(np.uint8), axis=2).sum(axis=2, dtype=np.int64)
    return bits


def _plan(task: LayerTask, machine: InnerJoinParameters, work: Work) -> Plan:
    """Positions in contiguous shares, one per cluster, for every block of filters."""
    layer, clusters = task.layer, task.hardware.units // machine.cluster
    share = edges(layer.n, ceil_div(layer.n, clusters))
    starts = np.cumsum(share) - share
    cycles = np.add.reduceat(work.cycles, starts, axis=1).astype(np.float64)
    values, metadata = stored_bytes(task)
    inputs, outputs = (
        ceil_div(round(elements * density) * task.value_bits + elements, 8)
        for elements, density in (
            (layer.input_elements, task.activations.density),
            (layer.output_elements, task.activations.output_density),
        )
    )
    per_tile = np.ones(cycles.size)
    fetched = (values, metadata, inputs)
    return Plan(
        kind=TileKind.UNICAST,
        units=clusters,
        channels=(Channel(name="dram", bytes_per_cycle=task.hardware.bytes_per_cycle("dram") or 1e30),),
        fetch_streams=tuple(Stream(name=name, channel=0) for name in ("weights", "metadata", "inputs")),
        fetch_bytes=np.stack([spread(total, per_tile) for total in fetched], axis=1),
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=spread(outputs, per_tile)[:, None],
        compute_cycles=cycles.ravel(),
        unit=(np.arange(cycles.size) % clusters).astype(np.int64),
        overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
    )
