"""Row-stationary array with zero gating and run-length coded activations in DRAM (Eyeriss v1).

The layer is worked off in tiles of output rows, filters and images whose partial sums fill the global buffer;
a tile is a chain of steps over its input channels. Each step first brings its filter rows and first inputs
over the bus into the PEs, then multiplies for as long as its busiest PE or the partial sums on the bus take.
Filters of the next step are loaded from DRAM meanwhile; there is no room to do that with a tile's inputs and
outputs, which therefore come before it and leave after it. A zero input gates the multiplier and the reads
behind it: it saves energy, never time. Weights cross DRAM uncompressed.

Source: Chen et al., Eyeriss: An energy-efficient reconfigurable accelerator for deep convolutional neural
networks, IEEE JSSC 52(1), 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.row_stationary_mapping import Mapping, RowConv, mapping
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import RowStationaryParameters
from simsparse.kernels.count_runs import run_entries
from simsparse.plan import Channel, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """The tiles of a layer: groups × filters × images × strips, flattened; (T,) each."""

    filters: IntArray
    images: IntArray
    rows: IntArray
    passes: IntArray
    """Passes over the array per step: subsets of the tile's filters."""


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product; the groups of a grouped layer follow each other.

    Raises
    ------
    UnsupportedError
        If the kernel does not fit the array or no tile fits the global buffer.
    """
    array, layer = task.hardware.dataflow, task.layer
    if not isinstance(array, RowStationaryParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected row-stationary parameters")
    conv = RowConv.of(layer)
    link = task.hardware.bytes_per_cycle("dram") or 1e30
    chosen = mapping(conv, array, task.value_bits / 8, link)
    tiles = _tiles(conv, chosen)
    steps = edges(conv.channels, chosen.pass_channels)
    done = int(task.activations.row_nnz.sum()) * conv.filters
    values, metadata = _weight_bytes(task)
    weights = (values + metadata) * chosen.weight_reads(conv)
    return LayerPlan(
        plan=_plan(task, array, conv, chosen, tiles, steps, weights),
        kernel=f"rows on {chosen.active_pes} PEs",
        macs_done=done,
        macs_gated=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): layer.macs - done,
                ("input_spad", "read"): layer.macs,
                ("weight_spad", "read"): done,
                ("psum_spad", "access"): 2 * done,
                ("buffer", "byte"): _buffer_bytes(task, conv, chosen, tiles, len(steps)) + weights,
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def _tiles(conv: RowConv, chosen: Mapping) -> Tiles:
    filters, images = edges(conv.filters, chosen.filters), edges(conv.batch, chosen.images)
    rows = edges(conv.out[0], chosen.strip)
    shape = (conv.groups, len(filters), len(images), len(rows))
    f, b, r = filters[:, None, None], images[:, None], rows
    f, b, r = (np.broadcast_to(sizes, shape).ravel() for sizes in (f, b, r))
    return Tiles(filters=f, images=b, rows=r, passes=-(-f // chosen.pass_filters))


def _weight_bytes(task: LayerTask) -> tuple[int, int]:
    """Values and metadata of W; another activation where the layer stores no weights."""
    if task.layer.kind.has_weights:
        return stored_bytes(task)
    return task.activation_bytes(task.layer.m * task.layer.k), 0


def _plan(
    task: LayerTask,
    array: RowStationaryParameters,
    conv: RowConv,
    chosen: Mapping,
    tiles: Tiles,
    steps: IntArray,
    weights: int,
) -> Plan:
    count = len(steps)
    inputs, outputs = activation_traffic(task, array, conv, chosen)
    share = np.multiply.outer(tiles.filters, steps)  # weights of each step of each tile
    fetch = np.zeros((share.size, 2), dtype=np.int64)
    fetch[:, 0] = spread(weights, share).ravel()
    fetch[::count, 1] = spread(inputs, tiles.images * _input_rows(conv, chosen, tiles))
    made = tiles.filters * tiles.images * tiles.rows
    dram = task.hardware.level("dram")
    return Plan(
        kind=TileKind.CHAIN,
        units=1,
        channels=(
            Channel(
                name="dram",
                bytes_per_cycle=task.hardware.bytes_per_cycle("dram") or 1e30,
                latency_cycles=dram.latency_s * task.hardware.clock_hz,
            ),
        ),
        fetch_streams=(Stream(name="weights", channel=0), Stream(name="inputs", channel=0)),
        fetch_bytes=fetch,
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=spread(outputs, made)[:, None],
        compute_cycles=_step_cycles(task, array, conv, chosen, tiles, steps).ravel(),
        slice_start=np.arange(len(tiles.rows) + 1, dtype=np.int64) * count,
        slots_per_unit=1,
        loads_in_flight=2,
        overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
    )


def _step_cycles(
    task: LayerTask,
    array: RowStationaryParameters,
    conv: RowConv,
    chosen: Mapping,
    tiles: Tiles,
    steps: IntArray,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(T, steps) cycles: filling the PEs, then the longer of products and partial sums on the bus."""
    words_per_cycle = array.bus_bytes_per_cycle / (task.value_bits / 8)
    kernel = conv.kernel[0] * conv.kernel[1]
    passes, filters = tiles.passes[:, None], tiles.filters[:, None]
    positions = (tiles.images * tiles.rows * conv.out[1])[:, None]
    window = np.minimum((tiles.rows - 1) * conv.stride + conv.kernel[0], conv.height)[:, None]
    fill = (filters * kernel + passes * window * conv.kernel[1]) * steps[None, :] / words_per_cycle
    # all sets but the last are full, so a PE of the first set is the busiest
    last = filters - (passes - 1) * chosen.pass_filters
    per_pe = (passes - 1) * chosen.filters_per_pe + -(-last // chosen.filter_sets)
    channels = -(-steps[None, :] // chosen.channel_sets)
    products = per_pe * channels * tiles.images[:, None] * conv.out[1] * conv.kernel[1]
    sums = filters * positions / words_per_cycle
    return np.asarray(fill + np.maximum(products, sums), dtype=np.float64)


def _input_rows(conv: RowConv, chosen: Mapping, tiles: Tiles) -> IntArray:
    """(T,) input rows under each tile's output rows; all of them where there is one strip."""
    if chosen.strips == 1:
        return np.full(len(tiles.rows), conv.height, dtype=np.int64)
    return np.minimum((tiles.rows - 1) * conv.stride + conv.kernel[0], conv.height)


def activation_traffic(
    task: LayerTask, array: RowStationaryParameters, conv: RowConv, chosen: Mapping
) -> tuple[int, int]:
    """Bytes of inputs, with all their reads, and of outputs over DRAM, coded where that is shorter."""
    layer, inputs = task.layer, task.activations
    raw = task.activation_bytes(layer.input_elements), task.activation_bytes(layer.output_elements)
    longest = 2**array.run_bits
    entries = raw[0]
    if not inputs.is_dense:
        entries = int(run_entries(inputs.tensor.ravel(), longest))
    # zeros of the outputs are unknown, so they are taken as random: E[zeros // longest] before a nonzero
    kept, empty = inputs.output_density, (1.0 - inputs.output_density) ** longest
    more = kept * empty / (1.0 - empty) if empty < 1.0 else 1.0 / longest
    made = round(layer.output_elements * (kept + more))
    coded = tuple(_coded_bytes(task, array, count) for count in (entries, made))
    reads = chosen.input_reads(conv)
    return round(min(raw[0], coded[0]) * reads), min(raw[1], coded[1])


def _coded_bytes(task: LayerTask, array: RowStationaryParameters, entries: int) -> int:
    per_word = array.word_bits // (task.value_bits + array.run_bits)
    return ceil_div(entries, per_word) * array.word_bits // 8


def _buffer_bytes(task: LayerTask, conv: RowConv, chosen: Mapping, tiles: Tiles, steps: int) -> int:
    """Bytes in and out of the global buffer on the array's side: inputs once per pass, sums read and written
    once per step (the first only written).
    """
    rows = _input_rows(conv, chosen, tiles)
    inputs = int((tiles.images * rows * tiles.passes).sum()) * conv.channels * conv.width
    sums = task.layer.output_elements * (2 * steps - 1)
    return task.activation_bytes(inputs + sums)
