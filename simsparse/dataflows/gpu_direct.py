"""Depthwise and narrow grouped convolutions: no tile would fill a matrix pipe, so the vector cores do them.

Each thread makes one output; inputs pass the L2 once, and the few weights stay in the L1.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.gpu_machine import block_plan, parameters, product_of, stored
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import ceil_div, edges, spread
from simsparse.errors import UnsupportedError
from simsparse.results import Counts


def is_narrow(task: LayerTask) -> bool:
    """Whether the layer is a grouped convolution with too few channels per group for a matrix tile."""
    layer = task.layer
    grouped = layer.groups > 1 and layer.kind.has_weights
    return grouped and layer.m // layer.groups < parameters(task).direct.below_rows


def plan_direct(task: LayerTask) -> LayerPlan:
    """Plan a narrow grouped convolution.

    Raises
    ------
    UnsupportedError
        If the vector cores do not compute in the task's dtype.
    """
    gpu, layer, product = parameters(task), task.layer, product_of(task)
    kernel = gpu.direct
    if task.dtype not in kernel.macs_per_cycle:
        raise UnsupportedError(f"{task.hardware.name}: no vector kernel in {task.dtype}")
    sizes = edges(layer.m * layer.n, kernel.outputs_per_block)
    weights, inputs = spread(product.weight_bytes, sizes), spread(product.input_bytes, sizes)
    written = spread(product.output_bytes, sizes)
    cycles = sizes * layer.k / (kernel.macs_per_cycle[task.dtype] * kernel.efficiency)
    plan = block_plan(
        task,
        slice_start=np.arange(len(sizes) + 1, dtype=np.int64),
        fetch=np.stack([weights, weights, inputs, inputs], axis=1),
        outputs=(written, written),
        compute=cycles.astype(np.float64),
        blocks_per_unit=kernel.blocks_per_unit,
        stages=1,
        fill_cycles=kernel.fill_cycles,
    )
    values, metadata = stored(task)
    register_bytes = layer.macs * gpu.vector_register_bytes_per_mac * task.value_bits / 16
    return LayerPlan(
        plan=plan,
        kernel=f"direct, {ceil_div(layer.m, layer.groups)} channels per group",
        macs_done=layer.macs,
        counts=Counts(
            {
                ("mac", task.dtype): layer.macs,
                ("register", "byte"): round(register_bytes),
                ("smem", "byte"): layer.macs * task.value_bits // 8,
                ("sm", "cycle"): round(float(cycles.sum())),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )
