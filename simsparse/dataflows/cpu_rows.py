"""CPU: rows of W on cores, each kernel with its own inner-loop cost.

A thread has a contiguous part of the rows with an equal share of the kept weights, and a share of the panels
of columns. Its time is additive: packing the inputs into L1, the core loop, the weight stream and the
outputs; nothing overlaps but the DRAM traffic of one thread with the arithmetic of the others. Each storage
format has its kernels: ``dense`` a BLAS product; ``csr`` rows; ``bsr`` blocks of output channels; ``bitmask``
and ``nm`` pattern-grouped rows, expanded for a single column. Formats that are only stored are unpacked to
csr when a network is loaded.

Activations and small weights stay in the L3 between calls where they fit; large weights come from DRAM.

Source: additive model fitted on a Zen 4 core with AVX-512; the machine's file says how for each constant.
"""

from __future__ import annotations

import dataclasses

from simsparse.dataflows.cpu_bsr import block_shape, plan_bsr
from simsparse.dataflows.cpu_csr import plan_csr
from simsparse.dataflows.cpu_dense import plan_dense
from simsparse.dataflows.cpu_grouped import plan_grouped
from simsparse.dataflows.cpu_vector import plan_block_vector, plan_expand, plan_gather
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.errors import UnsupportedError

_WHOLE_VECTOR = 16


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product with the kernel of its weights' format.

    Raises
    ------
    UnsupportedError
        If the weights are in a format without a kernel on this machine, or the operands are both activations.
    """
    name, one_column = task.format.name, task.layer.n == 1 and task.layer.groups == 1
    if name == "dense":
        return plan_dense(task)
    if not task.layer.kind.has_weights:
        raise UnsupportedError(f"{name} holds weights, and both operands of this product are activations")
    if name in ("bitmask", "nm"):
        return plan_expand(task) if one_column else plan_grouped(task)
    if name == "bsr":
        if task.layer.groups > 1:
            raise UnsupportedError(f"the bsr kernel takes one product, got {task.layer.groups} groups")
        whole = block_shape(task)[0] % _WHOLE_VECTOR == 0
        return plan_block_vector(task) if one_column and whole else plan_bsr(task)
    if name != "csr" and task.support.role != "unpack":
        raise UnsupportedError(f"{task.hardware.name} has no kernel for {name}")
    plan = plan_gather(task) if one_column else plan_csr(task)
    unpacked = () if name == "csr" else (f"{name} weights are unpacked to csr once, when they are loaded",)
    return dataclasses.replace(plan, notes=(*plan.notes, *unpacked))
