"""One processing element that multiplies only nonzero weights with nonzero activations (Eyeriss v2's PE).

Both operands are compressed by column. For every nonzero activation of input position c the PE walks the
nonzero weights of column c, one product per cycle, so the work is Σ_c nnz_activations(c) · nnz_weights(c).
Activations that are zero are never read; a zero weight under a nonzero activation costs a gated multiplier
slot in energy and no time.

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
    row_tiles = ceil_div(rows, element.psum_entries)
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
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("mac", "gated"): met - done,
                ("weight_spad", "read"): done,
                ("weight_spad", "write"): task.weights.nnz,
                ("weight_spad", "metadata_read"): ceil_div(met, 2),
                ("iact_spad", "read"): int(inputs.sum()) * row_tiles,
                ("iact_spad", "metadata_read"): int(inputs.sum()) * row_tiles,
                ("psum_spad", "access"): 2 * done,
                ("register", "access"): met,
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )
