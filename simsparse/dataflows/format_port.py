"""One MAC behind a buffer with a write and a read port: what a storage format costs before it saves.

X is held one output column at a time while all of W streams past it, so W passes the write port once per
column and X once in all. ``gate``: every pair takes its cycle, effectual or not. ``skip``: only effectual
pairs take a cycle, but both their operands, with the positions that a coordinate list needs, come through the
read port. Every output takes one cycle more, to leave. The two ports and the MAC overlap, so time approaches
the longest of the three. With ``dense`` storage nothing is skipped or gated and there are no positions.

Source: the format comparison of Wu et al., Sparseloop, MICRO 2022 (Fig. 1), whose cycle counts it reproduces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import FormatPortParameters
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_TILES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The work of each output column, (groups · n,), and of all of them."""

    pairs: IntArray  # effectual products
    weights: IntArray  # nonzeros of W that pass
    inputs: IntArray  # nonzeros of X
    metadata_bits: float  # of one nonzero; 0 where positions are a map of all values or there are none
    mapped: bool  # one bit for every value

    @property
    def stored(self) -> int:
        """Values written into the buffer."""
        return int(self.weights.sum() + self.inputs.sum())


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product, exactly by output column."""
    design = task.hardware.dataflow
    if not isinstance(design, FormatPortParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected format-port parameters")
    layer = task.layer
    work = _columns(task)
    done = int(work.pairs.sum())
    values, metadata = stored_bytes(task)
    skips = design.zeros == "skip" and task.support.role == "skip"
    return LayerPlan(
        plan=_plan(task, design, work, skips),
        kernel=f"{task.format.name}, one column of X stationary",
        macs_done=done,
        macs_gated=0 if skips else layer.macs - done,
        macs_skipped=layer.macs - done if skips else 0,
        counts=_counts(task, design, work, skips),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def _columns(task: LayerTask) -> _Columns:
    layer = task.layer
    rows, groups = layer.m // layer.groups, range(layer.groups)
    compressed = task.format.name != "dense"
    if not compressed:
        ones = np.ones(layer.groups * layer.n, dtype=np.int64)
        return _Columns(
            pairs=ones * rows * layer.k,
            weights=ones * rows * layer.k,
            inputs=ones * layer.k,
            metadata_bits=0,
            mapped=False,
        )
    of_weights = task.weights.column_nnz(layer.groups)
    if task.activations.is_dense:
        pairs, inputs = np.repeat(of_weights.sum(axis=1), layer.n), np.full(len(groups) * layer.n, layer.k)
    else:
        masks = [task.activations.columns(group) for group in groups]
        pairs = np.concatenate([mask @ of_weights[group] for group, mask in enumerate(masks)])
        inputs = np.concatenate([np.count_nonzero(mask, axis=1) for mask in masks])
    mapped = task.format.name == "bitmask"
    print_ = task.footprint
    return _Columns(
        pairs=pairs.astype(np.int64),
        weights=np.repeat(of_weights.sum(axis=1), layer.n),
        inputs=inputs.astype(np.int64),
        metadata_bits=0 if mapped else print_.metadata_bits / max(1, print_.stored_values),
        mapped=mapped,
    )


def _plan(task: LayerTask, design: FormatPortParameters, work: _Columns, skips: bool) -> Plan:
    hardware, layer = task.hardware, task.layer
    rows = layer.m // layer.groups
    on_port = work.metadata_bits if design.metadata_on_ports else 0.0
    entry_bytes = (task.value_bits + on_port) / 8
    written = (work.weights + work.inputs) * entry_bytes
    read = 2 * work.pairs * entry_bytes
    cycles = (work.pairs if skips else np.full(len(work.pairs), rows * layer.k)) + rows
    port = design.port_bytes_per_cycle
    return Plan(
        kind=TileKind.UNICAST,
        units=1,
        channels=(
            Channel(name="write port", bytes_per_cycle=port, component="write_port"),
            Channel(name="read port", bytes_per_cycle=port, component="read_port"),
        ),
        fetch_streams=(Stream(name="operands", channel=0), Stream(name="operands", channel=1)),
        fetch_bytes=np.stack([_pieces(written), _pieces(read)], axis=1),
        compute_cycles=_pieces(cycles).astype(np.float64),
        overhead_cycles=hardware.launch_s * hardware.clock_hz,
    )


def _pieces(columns: np.ndarray) -> IntArray:
    """Work by column cut or joined into about ``_TILES`` tiles, integers that add up to the whole."""
    if len(columns) > _TILES:
        columns = np.add.reduceat(columns, np.arange(0, len(columns), ceil_div(len(columns), _TILES)))
    return spread(round(float(columns.sum())), np.repeat(columns, ceil_div(_TILES, len(columns))))


def _counts(task: LayerTask, design: FormatPortParameters, work: _Columns, skips: bool) -> Counts:
    layer = task.layer
    pairs, outputs = int(work.pairs.sum()), layer.m * layer.n
    passing = int(work.weights.sum())
    if work.mapped:
        # a map has a bit for every value; it is read along W's nonzeros
        written = layer.m * layer.k * layer.n
        bits = written, passing, written + layer.groups * layer.k * layer.n
    else:
        # the position of a skipped value is still read
        entries = work.stored, passing + int(work.inputs.sum()) * (layer.m // layer.groups), work.stored
        bits = tuple(round(count * work.metadata_bits) for count in entries)  # type: ignore[assignment]
    words = [ceil_div(count, design.metadata_word_bits) for count in bits]
    return Counts(
        {
            ("mac", task.dtype): pairs,
            ("mac", "gated"): 0 if skips else layer.macs - pairs,
            # sums are read and written once per product, the first of each output is not read
            ("register", "access"): 2 * pairs - pairs // layer.k + outputs,
            ("buffer", "read"): 2 * pairs,
            ("buffer", "write"): work.stored,
            ("metadata_buffer", "read"): words[1],
            ("metadata_buffer", "write"): words[0],
            ("backing", "read"): ceil_div(work.stored, design.backing_word_bytes),
            ("backing", "write"): ceil_div(outputs, design.backing_word_bytes),
            ("backing", "metadata_read"): words[2],
        }
    )
