"""Weight-stationary systolic array (TPU-like).

Tiles of W, ``rows`` along k by ``columns`` along m, are fetched from DRAM into a double-buffered array
while the tile before computes; then n activations stream through, one column of X per cycle. Partial sums
of up to ``accumulator_entries`` columns of X wait beside the array while the tiles along k pass. Compressed
weights are decoded on their way in, so they save traffic and capacity but never compute time; zero gating
saves the multiplier's energy only.

Source: Jouppi et al., In-datacenter performance analysis of a tensor processing unit, ISCA 2017.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.activations import Residency, residency
from simsparse.dataflows.task import LayerPlan, LayerTask, effectual_macs
from simsparse.dataflows.tiling import ceil_div, edges, spread, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import SystolicParameters
from simsparse.plan import Channel, Plan, Stream, TileKind
from simsparse.results import Counts

_MOST_TILES = 10_000  # of a layer; more are bundled with their neighbours, which a small array would not show


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product; every group of a grouped layer is a product of its own, one after the other."""
    array = task.hardware.dataflow
    if not isinstance(array, SystolicParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected systolic parameters")
    layer = task.layer
    rows_m = layer.m // layer.groups
    m_sizes, k_sizes = edges(rows_m, array.columns), edges(layer.k, array.rows)
    n_sizes = edges(layer.n, array.accumulator_entries)
    # order: group, m tile, n chunk, k tile: partial sums of a chunk stay in the accumulators
    shape = (layer.groups, len(m_sizes), len(n_sizes), len(k_sizes))
    m, n, k = (np.broadcast_to(sizes, shape).ravel() for sizes in _axes(m_sizes, n_sizes, k_sizes))
    place = residency(task, input_passes=len(m_sizes))
    plan = _plan(task, array, place, m, n, k, last_k=np.broadcast_to(np.arange(len(k_sizes)), shape).ravel())
    done = effectual_macs(task.weights, task.activations, layer.groups) if array.zero_gating else layer.macs
    values, metadata = stored_bytes(task)
    moved = np.array([k * n, m * n], dtype=np.float64).sum(axis=1)
    buffer = task.activation_bytes(int(moved[0]) + layer.output_elements)
    return LayerPlan(
        plan=plan,
        kernel=f"{task.format.name} {array.rows}x{array.columns} array",
        macs_done=done,
        macs_gated=layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): layer.macs - done,
                ("buffer", "byte"): buffer,
                ("accumulator", "access"): 2 * int(moved[1]),
                ("array", "weight_load"): int((m * k).sum()),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=place.notes,
    )


def _axes(m_sizes: np.ndarray, n_sizes: np.ndarray, k_sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    return m_sizes[None, :, None, None], n_sizes[None, None, :, None], k_sizes[None, None, None, :]


def _plan(
    task: LayerTask,
    array: SystolicParameters,
    place: Residency,
    m: np.ndarray,
    n: np.ndarray,
    k: np.ndarray,
    *,
    last_k: np.ndarray,
) -> Plan:
    values, metadata = stored_bytes(task)
    chunks = ceil_div(task.layer.n, array.accumulator_entries)  # weights pass once for each chunk of n
    outputs = np.where(last_k == last_k.max(), m * n, 0)
    decoder = task.support.decode_weights_per_cycle
    dram = task.hardware.bytes_per_cycle("dram")
    fill = array.rows + array.columns if array.pipeline_fill else 0
    first = np.arange(0, len(m), ceil_div(len(m), _MOST_TILES))

    def bundled(values: np.ndarray) -> np.ndarray:
        added: np.ndarray = np.add.reduceat(values, first)
        return added

    return Plan(
        kind=TileKind.UNICAST,
        units=1,
        channels=(Channel(name="dram", bytes_per_cycle=dram or 1e30),),
        fetch_streams=(
            Stream(name="weights", channel=0),
            Stream(name="metadata", channel=0),
            Stream(name="inputs", channel=0),
        ),
        fetch_bytes=np.stack(
            [
                bundled(spread(values * chunks, m * k)),
                bundled(spread(metadata * chunks, m * k)),
                bundled(spread(place.input_bytes, k * n)),
            ],
            axis=1,
        ),
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=bundled(spread(place.output_bytes, outputs))[:, None],
        decode_cycles=bundled(np.maximum(k, m * k / decoder if decoder else 0).astype(np.float64)),
        compute_cycles=bundled(n.astype(np.float64)),
        buffer_credits=2 if task.hardware.level("dram").overlap else 1,
        overhead_cycles=fill + task.hardware.launch_s * task.hardware.clock_hz,
    )
