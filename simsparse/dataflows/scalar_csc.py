"""One processing element that multiplies only nonzero weights with nonzero activations (Eyeriss v2's PE).

Both operands are compressed by column. For every nonzero activation of input position c the PE walks the
nonzero weights of column c, one product per cycle, so the work is Σ_c nnz_activations(c) · nnz_weights(c).
Activations that are zero are never read; a zero weight under a nonzero activation costs a gated multiplier
slot in energy and no time.

W is worked on in tiles of ``row_tile`` rows and ``k_tile`` columns. A tile's nonzero activations are written
to their scratchpad and read from it into a register, which each slot reads; partial sums are brought in for
each tile of columns. The positions of all kept weights are read for each output, also of weights that are
skipped.

Source: Chen et al., Eyeriss v2, JETCAS 2019; cycle counts as in the Sparseloop artifact (MICRO 2022, Fig.
12).
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, stored_bytes
from simsparse.errors import UnsupportedError
from simsparse.hardware import ScalarCscParameters
from simsparse.plan import Plan, TileKind
from simsparse.results import Counts


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one layer with stored weights: one tile per group and column of W.

    Raises
    ------
    UnsupportedError
        If the layer has no stored weights.
    """
    element = task.hardware.dataflow
    if not isinstance(element, ScalarCscParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected scalar-csc parameters")
    layer = task.layer
    if not layer.kind.has_weights:
        raise UnsupportedError(
            "both operands are activations; the PE expects weights compressed ahead of time"
        )
    weights, inputs = task.weights.column_nnz(layer.groups), task.activations.row_nnz
    pairs = weights * inputs
    done = int(pairs.sum())
    rows = layer.m // layer.groups
    met = int(inputs.sum()) * rows  # products whose activation is nonzero
    values, metadata = stored_bytes(task)
    return LayerPlan(
        plan=Plan(
            kind=TileKind.UNICAST,
            units=1,
            compute_cycles=np.ceil(pairs / element.macs_per_pair).ravel().astype(np.float64),
            overhead_cycles=task.hardware.launch_s * task.hardware.clock_hz,
        ),
        kernel="csc x csc",
        macs_done=done,
        macs_gated=met - done,
        macs_skipped=layer.macs - met,
        counts=element_counts(task, done, met, row_tile=element.row_tile, k_tile=element.k_tile),
        weight_bytes=values,
        metadata_bytes=metadata,
    )


def element_counts(
    task: LayerTask, done: int, met: int, *, row_tile: int, k_tile: int, loads: int = 1
) -> Counts:
    """What the PE's multiplier and scratchpads do for a layer; its weights are brought in ``loads`` times.

    ``done`` products are of nonzeros, ``met`` have a nonzero activation. Words of weight positions hold two
    4-bit counts, or one of a tile's ``k_tile + 1`` column addresses.
    """
    layer, nnz = task.layer, task.weights.nnz
    row_tiles, k_tiles = ceil_div(layer.m // layer.groups, row_tile), ceil_div(layer.k, k_tile)
    inputs = int(task.activations.row_nnz.sum()) * row_tiles
    addresses = layer.groups * row_tiles * (layer.k + k_tiles)
    first = ceil_div(done, layer.k)  # products that begin an output, for which no sum is read
    return Counts(
        {
            ("mac", task.dtype): done,
            ("mac", "gated"): met - done,
            ("weight_spad", "read"): done,
            ("weight_spad", "write"): nnz * loads,
            ("weight_spad", "metadata_read"): ceil_div(nnz * layer.n, 2) + addresses * layer.n,
            ("weight_spad", "metadata_write"): (ceil_div(nnz, 2) + addresses) * loads,
            ("iact_spad", "read"): inputs,
            ("iact_spad", "write"): inputs,
            ("iact_spad", "metadata_read"): inputs,
            ("iact_spad", "metadata_write"): inputs,
            ("psum_spad", "access"): 2 * done - first + layer.m * layer.n * k_tiles,
            ("psum_spad", "gated"): 2 * (met - done),
            ("register", "access"): met + inputs,
            ("register", "metadata"): met + inputs,
        }
    )
