"""CPU: rows of W on cores, each kernel with its own inner-loop cost.

A thread has a contiguous part of the rows with an equal share of the work, and a share of the panels of
columns, cut as ``simsparse.packed`` cuts them on such a machine. Its time is additive: packing the inputs,
the core loop, the weight stream and the outputs; nothing overlaps but the DRAM traffic of one thread with the
arithmetic of the others. Each storage format has its kernels: ``dense`` a BLAS product; ``csr`` rows;
``bsr`` pattern-grouped rows, ``nm`` and ``bitmask`` too where vectors are wide, else ``nm`` pairs of rows;
each its own for one column, and ``nm`` and ``bsr`` for a few. Formats that are only stored are unpacked to
csr when a network is loaded.

Activations and small weights stay in the L3 between calls where they fit; large weights come from DRAM.

Source: additive model fitted on a Zen 4 core with AVX-512; the machine's file says how for each constant.
"""

from __future__ import annotations

from dataclasses import replace

from simsparse.dataflows.cpu_csr import csr_work
from simsparse.dataflows.cpu_dense import dense_work, in_groups
from simsparse.dataflows.cpu_grid import layer_plan
from simsparse.dataflows.cpu_grouped import GroupedWork, grouped_work
from simsparse.dataflows.cpu_memory import cpu_of
from simsparse.dataflows.cpu_pairs import pairs_work
from simsparse.dataflows.cpu_tiles import caches_of
from simsparse.dataflows.cpu_vector import bitmask_work, block_vector_work, gather_work, nm_work
from simsparse.dataflows.cpu_work import Product, Window, Work
from simsparse.dataflows.task import LayerPlan, LayerTask, WeightOperand
from simsparse.errors import UnsupportedError
from simsparse.hardware import CpuRowsParameters, HardwareModel
from simsparse.ir import ConvShape, Layer
from simsparse.kernels.gemv_simd import PICKS
from simsparse.packed.choose import PAIRS_FROM, WIDEST
from simsparse.packed.conv_strip import pays_direct
from simsparse.packed.conv_window import is_flat, is_split, rearranged_floats
from simsparse.packed.gemv_bsr import fitting_height
from simsparse.packed.gemv_cost import CostKernel, gemv_seconds
from simsparse.packed.spmm_cost import spmm_seconds

_L1_BYTES_PER_MAC = 4.0
KERNELS = ("csr", "pairs", "grouped", "dense", "gemv-csr", "gemv-bitmask", "gemv-nm", "gemv-bsr")
"""As ``simsparse.packed`` names them."""
TILED = ("csr", "pairs", "grouped")
"""Those for more than a few columns, whatever the format."""


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan one product with the kernel of its weights' format.

    Raises
    ------
    UnsupportedError
        If the weights are in a format without a kernel on this machine, or the operands are both activations.
    """
    machine, layer, name = cpu_of(task.hardware), task.layer, task.format.name
    product = product_of(task)
    if name == "dense":
        return _plan_dense(task, machine, product)
    if not layer.kind.has_weights:
        raise UnsupportedError(f"{name} holds weights, and both operands of this product are activations")
    if name not in ("csr", "bitmask", "nm", "bsr") and task.support.role != "unpack":
        raise UnsupportedError(f"{task.hardware.name} has no kernel for {name}")
    rows = getattr(task.format, "rows", 4) if name == "bsr" else 4
    kernel = kernel_of(name, product, task.weights, machine.panel.isa, keep_of(task.format), rows)
    work = make_work(
        kernel, machine, product, task.weights, keep=(keep_of(task.format) or (0, 0))[0], block_rows=rows
    )
    unpacked = f"{name} weights are unpacked to csr once, when they are loaded"
    done = task.weights.nnz * layer.n
    return layer_plan(
        task,
        work,
        product.threads,
        _NAMES[kernel],
        done=done,
        loaded=_L1_BYTES_PER_MAC * done,
        notes=(unpacked,) if task.support.role == "unpack" else (),
    )


_NAMES = {
    "csr": "csr rows",
    "pairs": "pairs of rows",
    "grouped": "pattern-grouped rows",
    "gemv-csr": "csr gather",
    "gemv-bitmask": "bitmask expand",
    "gemv-nm": "N:M expand",
    "gemv-bsr": "block columns",
}


def kernel_of(
    format_name: str,
    product: Product,
    weights: WeightOperand,
    isa: str,
    form: tuple[int, int] | None = None,
    block_rows: int = 4,
) -> str:
    """The sparse kernel that multiplies weights of a format; ``form`` is N and M where there are.

    As ``simsparse.packed`` chooses, by its estimated times, among the kernels that suit the format.
    """
    vectors = _vector_kernel(format_name, form)
    if product.n == 1 and product.groups == 1:
        return vectors
    seconds = _tiled_seconds(format_name, product, weights, isa, form)
    if product.n <= WIDEST and product.groups == 1 and vectors in ("gemv-nm", "gemv-bsr"):
        slots = weights.nnz
        if vectors == "gemv-bsr":
            tall = fitting_height(block_rows)
            slots = tall * int(weights.tall_blocks(tall).sum())
        elif form is not None:
            slots = product.m * -(-product.k // form[1]) * form[0]
        kind: CostKernel = "nm" if vectors == "gemv-nm" else "bsr"
        seconds[vectors] = gemv_seconds(kind, (product.m, product.k), slots, n=product.n)
    return min(seconds, key=lambda name: seconds[name])


def _vector_kernel(format_name: str, form: tuple[int, int] | None) -> str:
    """For one column."""
    if format_name == "nm":
        return "gemv-nm" if _fits(form) else "gemv-csr"
    return f"gemv-{format_name}" if format_name in ("bitmask", "bsr") else "gemv-csr"


def _fits(form: tuple[int, int] | None) -> bool:
    """Whether the N:M kernels know the form."""
    return form is not None and form[0] in PICKS and PICKS[form[0]][1] == form[1]


def _tiled_seconds(
    format_name: str,
    product: Product,
    weights: WeightOperand,
    isa: str,
    form: tuple[int, int] | None,
) -> dict[str, float]:
    """The tiled kernels for a format, with estimated times; groups of four need 32 registers, or blocks."""
    wide = isa == "avx512" and format_name in ("nm", "bitmask")
    tiled = "grouped" if wide or format_name == "bsr" else "csr"
    seconds = {tiled: spmm_seconds("tiled", weights.nnz, product.n, isa)}
    if tiled == "csr" and format_name == "nm" and _fits(form) and weights.density >= PAIRS_FROM:
        seconds["pairs"] = spmm_seconds("pairs", weights.nnz, product.n, isa)
    return seconds


def keep_of(format_: object) -> tuple[int, int] | None:
    """N and M of an N:M format."""
    keep, group = getattr(format_, "keep", None), getattr(format_, "group", None)
    return None if keep is None or group is None else (int(keep), int(group))


def make_work(
    kernel: str,
    machine: CpuRowsParameters,
    product: Product,
    weights: WeightOperand,
    *,
    keep: int = 2,
    block_rows: int = 4,
) -> Work:
    """What a kernel of ``KERNELS`` does for a product with these weights.

    ``keep`` is N of N:M weights for gemv-nm, ``block_rows`` the height of the format's blocks for gemv-bsr.
    """
    if kernel == "csr":
        return csr_work(machine, product, weights)
    if kernel == "pairs":
        return pairs_work(machine, product, weights)
    if kernel == "grouped":
        return grouped_work(machine, product, weights)
    if kernel == "gemv-csr":
        return gather_work(product, weights)
    if kernel == "gemv-bitmask":
        return bitmask_work(machine, product, weights)
    if kernel == "gemv-nm":
        return nm_work(product, keep)
    if kernel == "gemv-bsr":
        return block_vector_work(product, weights, block_rows)
    if in_groups(machine, product):
        return grouped_work(machine, product, WeightOperand(product.m, product.k))
    return dense_work(machine, product)


def product_of(task: LayerTask) -> Product:
    """The task's product on all cores of its machine; large weights are cold, activations are not."""
    return network_product(task.hardware, task.layer, task.value_bits / 8)


def network_product(machine: HardwareModel, layer: Layer, value_bytes: float = 4.0) -> Product:
    """A layer's product between others on all cores; large weights are cold, activations are not.

    The dense size decides for every format: what else the network holds is not known here.
    """
    dense = layer.m * layer.k * value_bytes
    cold = layer.kind.has_weights and dense > cpu_of(machine).memory.cold_above_bytes
    product = layer_product(layer, value_bytes)
    return replace(product, threads=machine.units, cold_weights=cold, evicted=True)


def layer_product(layer: Layer, value_bytes: float = 4.0) -> Product:
    """A layer's product on one thread, all operands in the caches."""
    conv = layer.conv
    return Product(
        m=layer.m,
        k=layer.k,
        n=layer.n,
        groups=layer.groups,
        value_bytes=value_bytes,
        inputs=layer.input_elements,
        window=None if conv is None else _window(conv),
        strided=conv is not None and conv.stride[1] > 1,
        rearranged=(0, 0) if conv is None else rearranged_floats(conv),
    )


def _window(conv: ConvShape) -> Window | None:
    taps = conv.kernel_height * conv.kernel_width
    if taps == 1:
        return None
    rows_shared = max(0, (conv.kernel_height - 1) * conv.dilation[0] + 1 - conv.stride[0])
    return Window(
        taps=taps,
        pieces=conv.out_height * conv.batch,
        plane=conv.in_height * conv.in_width * conv.batch,
        overlap=rows_shared * conv.in_width,
        gathered=not (is_flat(conv) or is_split(conv)),
    )


def _is_summed_directly(machine: CpuRowsParameters, layer: Layer) -> bool:
    """Whether ``simsparse.packed`` sums this convolution up without a matrix product."""
    conv, here = layer.conv, machine.dense.library == "packed" and layer.kind.has_weights
    if not here or layer.groups > 1 or conv is None or (conv.kernel_height, conv.kernel_width) == (1, 1):
        return False
    return pays_direct(conv, isa=machine.panel.isa, caches=caches_of(machine))


def _plan_dense(task: LayerTask, machine: CpuRowsParameters, product: Product) -> LayerPlan:
    layer, macs = task.layer, task.hardware.macs_per_cycle
    narrow = layer.m // layer.groups < machine.dense.direct_below_rows
    direct = layer.groups > 1 and layer.kind.has_weights and narrow
    faster = macs[task.dtype] / macs.get("fp32", macs[task.dtype])  # more lanes for narrow types
    name = "dense sgemm" if task.dtype == "fp32" else f"dense {task.dtype} gemm"
    few = _is_summed_directly(machine, layer)
    work: Work
    if layer.kind.has_weights and not (direct or few) and in_groups(machine, product):
        work, name = grouped_work(machine, product, WeightOperand(layer.m, layer.k)), "groups of full rows"
    else:
        work = dense_work(machine, product, faster=faster, direct=direct, few=few)
    return layer_plan(
        task,
        work,
        product.threads if isinstance(work, GroupedWork) else len(work.thread),
        "direct convolution" if direct or few else name,
        done=layer.macs,
        loaded=layer.macs * (_L1_BYTES_PER_MAC if direct else 4 / 6),  # about six rows share a loaded vector
    )
