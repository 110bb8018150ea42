"""Kept vectors of V x 1 weights on the matrix pipe, as CLASP does them.

A thread block is one warp: one row of vectors by one line of columns. Each kept vector loads one line of the
inputs for all its V rows. Warps are few and each waits for its own loads, so the kernel is bound by latency:
what a vector costs does not depend on V. Lines that rows of vectors on the same SM share are hits of its L1.

Source: Castro, Andrade and Fraguela, Probing the efficacy of hardware-aware weight pruning to optimize the
SpMM routine on Ampere GPUs, PACT 2022; UDC-GAC/CLASP.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.gpu_csr import line_columns, row_blocks, rows_plan
from simsparse.dataflows.gpu_machine import parameters, product_of, stored
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.errors import UnsupportedError
from simsparse.hardware.gpu import VectorBlockKernel
from simsparse.kernels.count_gpu import kept_blocks
from simsparse.kernels.count_mask import row_counts
from simsparse.results import Counts


def plan_vectors(task: LayerTask, kernel: VectorBlockKernel, height: int) -> LayerPlan:
    """Plan a product whose weights are kept in vectors of ``height`` rows.

    Raises
    ------
    UnsupportedError
        If the kernel does not compute in the dtype, or the layer is grouped.
    """
    if task.dtype not in kernel.dtypes:
        raise UnsupportedError(f"{task.hardware.name} has no vector kernel in {task.dtype}")
    if task.layer.groups > 1 or not task.layer.kind.has_weights:
        raise UnsupportedError("the vector kernel takes one product with weights")
    kept = kept_blocks(task.weights.dense_mask, height, 1)
    product, rows = product_of(task), kernel.rows_kernel(height)
    share = kernel.sharing(len(kept) / task.hardware.units, product.k)
    groups = [row_blocks(task, rows, kept, row_counts(kept), share=share, height=height)]
    plan = rows_plan(task, product, rows, groups)
    vectors = int(groups[0].nnz.sum())
    last = product.rows - height * (len(kept) - 1)
    done = (vectors * height - int(kept[-1].sum()) * (height - last)) * product.columns
    gpu = parameters(task)
    values, metadata = stored(task)
    return LayerPlan(
        plan=plan,
        kernel=f"vectors {height}x1 by {line_columns(task, rows)}",
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("register", "byte"): round(done * gpu.register_bytes_per_mac * task.value_bits / 16),
                ("smem", "byte"): vectors * int(product.bytes_of(np.array([product.columns]))[0]),
                ("sm", "cycle"): round(float(plan.compute_cycles.sum())),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
    )
