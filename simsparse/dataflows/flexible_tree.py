"""Nonzeros of W stationary in a pool of multipliers behind a flexible reduction tree (SIGMA).

K is cut into tiles of ``k_tile`` positions. The nonzeros of a tile, whatever their rows, fill the multipliers
in as many folds as they need; each fold is loaded while nothing streams (one stationary buffer), then the n
columns of X pass, one per cycle, and the tree adds the products of each row. The density of X saves energy
only. DRAM is behind a large buffer: weights come with the load, inputs and outputs that do not fit the buffer
cross DRAM beside the folds.

Source: Qin et al., SIGMA, HPCA 2020. That the load is serial, and its rate, follow from the GEMM cycles
published there.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.activations import Residency, residency
from simsparse.dataflows.task import LayerPlan, LayerTask, WeightOperand, effectual_macs
from simsparse.dataflows.tiling import edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import FlexibleTreeParameters
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_TILES = 1024
"""Folds are cut along n into about this many tiles in all, so that DRAM is used evenly while they stream."""


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product; with ``dense`` storage every weight counts as a nonzero."""
    tree = task.hardware.dataflow
    if not isinstance(tree, FlexibleTreeParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected flexible-tree parameters")
    layer = task.layer
    held = task.weights if task.support.role == "skip" else WeightOperand(layer.m, layer.k)
    nonzeros, depth = _folds(held, layer.groups, tree)
    mapped, done = held.nnz * layer.n, effectual_macs(held, task.activations, layer.groups)
    place = residency(task)
    values, metadata = stored_bytes(task)
    streamed = round(int(depth.sum()) * layer.n * task.activations.density)
    return LayerPlan(
        plan=_plan(task, tree, nonzeros, place),
        kernel=f"{task.format.name}, {len(nonzeros)} folds",
        macs_done=done,
        macs_gated=mapped - done,
        macs_skipped=layer.macs - mapped,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): mapped - done,
                ("multiplier_register", "access"): held.nnz + mapped,
                ("sram", "stream_byte"): task.activation_bytes(streamed),
                ("sram", "write_byte"): task.activation_bytes(layer.output_elements),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=place.notes,
    )


def _folds(held: WeightOperand, groups: int, tree: FlexibleTreeParameters) -> tuple[IntArray, IntArray]:
    """Stationary nonzeros of each fold, and positions of k that stream past it."""
    starts = np.arange(0, held.k, tree.k_tile)
    per_tile = np.add.reduceat(held.column_nnz(groups), starts, axis=1)  # (groups, K tiles)
    full, rest = np.divmod(per_tile.ravel(), tree.multipliers)
    folds = full + (rest > 0)
    nonzeros = np.full(int(folds.sum()), tree.multipliers, dtype=np.int64)
    last = np.cumsum(folds)[folds > 0] - 1
    nonzeros[last] = np.where(rest > 0, rest, tree.multipliers)[folds > 0]
    return nonzeros, np.repeat(np.tile(edges(held.k, tree.k_tile), groups), folds)


def _plan(task: LayerTask, tree: FlexibleTreeParameters, nonzeros: IntArray, place: Residency) -> Plan:
    hardware, n = task.hardware, task.layer.n
    pieces = min(n, max(1, _TILES // max(1, len(nonzeros))))
    columns = spread(n, np.ones(pieces))
    first = np.arange(pieces) == 0  # a fold's nonzeros are loaded before its first columns
    held = np.outer(nonzeros, first).ravel().astype(np.int64)
    streaming = np.tile(columns, len(nonzeros))
    value_bytes = task.value_bits / 8
    return Plan(
        kind=TileKind.UNICAST,
        units=1,
        channels=(
            Channel(name="dram", bytes_per_cycle=hardware.bytes_per_cycle("dram") or 1e30),
            Channel(name="sram", bytes_per_cycle=tree.load_words_per_cycle * value_bytes),
        ),
        fetch_streams=(Stream(name="weights", channel=0), Stream(name="weights", channel=1)),
        fetch_bytes=np.stack(
            [spread(sum(stored_bytes(task)), held), np.ceil(held * value_bytes).astype(np.int64)], axis=1
        ),
        # a one-credit buffer makes fetches serial with streaming; what flows beside it are drains
        drain_streams=(Stream(name="inputs", channel=0), Stream(name="outputs", channel=0)),
        drain_bytes=np.stack(
            [spread(place.input_bytes, streaming), spread(place.output_bytes, streaming)], axis=1
        ),
        compute_cycles=streaming.astype(np.float64),
        buffer_credits=1,
        overhead_cycles=tree.fill_cycles + hardware.launch_s * hardware.clock_hz,
    )
