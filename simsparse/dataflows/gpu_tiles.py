"""GPU: thread-block tiles dispatched to streaming multiprocessors, with a shared L2 and DRAM.

What decides a GPU's time, in this order: how many tiles and waves the library's tile shape makes, how often
inputs are reused before they fall out of L1 and L2, the L2 feed, the DRAM floor, the prologue and epilogue of
each wave, and the launch. Each storage format has its kernel: ``dense`` tiles, ``nm`` on sparse tensor cores,
``vnm`` gathered columns there (Spatha), ``csr`` rows on the vector cores (Sputnik), ``bsr`` kept blocks on
the tensor cores, or vectors of one column (CLASP).

Source: Gale et al., Sparse GPU kernels for deep learning, SC 2020 (csr); NVIDIA CUTLASS (tiles, 2:4); Castro
et al., VENOM, SC 2023 (vnm) and PACT 2022 (vectors); constants as their sources say in the machine's file.
"""

from __future__ import annotations

from simsparse.dataflows.gpu_bsr import plan_bsr
from simsparse.dataflows.gpu_csr import plan_csr
from simsparse.dataflows.gpu_direct import is_narrow, plan_direct
from simsparse.dataflows.gpu_gemm import plan_dense, plan_structured
from simsparse.dataflows.gpu_vnm import plan_vnm
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.errors import UnsupportedError

_KERNELS = {"dense": plan_dense, "nm": plan_structured, "csr": plan_csr, "bsr": plan_bsr, "vnm": plan_vnm}


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product with the kernel of its weights' format.

    Raises
    ------
    UnsupportedError
        If there is no kernel for the format, or it cannot run this layer.
    """
    name = task.format.name
    if name not in _KERNELS:
        raise UnsupportedError(
            f"{task.hardware.name} has no kernel for {name} (known: {', '.join(_KERNELS)})"
        )
    if is_narrow(task):
        if name != "dense":
            raise UnsupportedError(f"grouped convolutions with few channels per group run dense, got {name}")
        return plan_direct(task)
    return _KERNELS[name](task)
