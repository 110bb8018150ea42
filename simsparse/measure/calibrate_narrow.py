"""What weights in bf16 and int8 cost on this host: fewer bytes, and instructions that widen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_rows import make_work
from simsparse.dataflows.cpu_work import Product, Work, join
from simsparse.dataflows.task import WeightOperand
from simsparse.formats import encode, make_format
from simsparse.hardware import CpuRowsParameters
from simsparse.kernels.host_loops import aligned
from simsparse.measure.calibrate_cases import ProductCase, make_mask
from simsparse.measure.calibrate_fit import Scale, fit_works
from simsparse.measure.calibrate_timing import block_rows
from simsparse.measure.fit import Constant
from simsparse.measure.timing import Call, Timer, Timing
from simsparse.packed.gemv import pack_gemv

_BYTES: Mapping[str, float] = {"bf16": 2.0, "int8": 1.0}
_PATTERNS = (("csr", "random", 0.2), ("bitmask", "random", 0.4), ("nm", "2:4", 0.5), ("bsr", "4x1", 0.2))
_SIZES = ((1024, 512), (768, 1024))
"""Rows and columns: weights in the L2, so that inner loops are what is timed."""
_PARTS = ("gather", "bitmask", "nm", "block_vector")
CONSTANTS = tuple(Constant(path=f"{part}.narrow", spread=1.5) for part in _PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowCase:
    """One column times weights of a pattern, by a matrix-vector kernel as ``packed.gemv`` names it."""

    kernel: str
    product: ProductCase

    def operand(self) -> WeightOperand:
        """The weights as the model takes them."""
        case = self.product
        return WeightOperand(case.m, case.k, make_mask(case, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowSample:
    """One thread's time in one case and type of weights, right after the same call."""

    case: NarrowCase
    dtype: str
    timing: Timing


def narrow_cases() -> tuple[NarrowCase, ...]:
    """Every kernel at two shapes."""
    return tuple(
        NarrowCase(kernel=kernel, product=ProductCase(m=m, k=k, n=1, pattern=pattern, density=density))
        for kernel, pattern, density in _PATTERNS
        for m, k in _SIZES
    )


def narrow_calls(case: NarrowCase) -> dict[str, Call]:
    """The product in each type, its operands in memory."""
    product, mask = case.product, case.operand().dense_mask
    weights = mask * np.float32(0.5)
    x = aligned((product.k, 1))
    x += np.float32(1)
    layout = f"bsr:{block_rows(product)}x1" if case.kernel == "bsr" else "csr"
    encoded = encode(weights, make_format(layout), mask)
    return {
        dtype: pack_gemv(encoded, kernel=case.kernel, dtype=dtype).bind(x, aligned((product.m, 1)))  # type: ignore[arg-type]
        for dtype in _BYTES
    }


def time_narrow(timer: Timer, calls: Mapping[NarrowCase, Mapping[str, Call]]) -> list[NarrowSample]:
    """One pass over all cases."""
    return [
        NarrowSample(case=case, dtype=dtype, timing=timing)
        for case, both in calls.items()
        for dtype, timing in timer.measure(both).items()
    ]


def narrow_work(machine: CpuRowsParameters, case: NarrowCase, dtype: str) -> Work:
    """The case as the model takes it."""
    sizes = case.product
    product = Product(m=sizes.m, k=sizes.k, n=1, value_bytes=_BYTES[dtype])
    kernel = f"gemv-{case.kernel}"
    return make_work(kernel, machine, product, case.operand(), block_rows=block_rows(sizes))


def with_narrow(
    machine: CpuRowsParameters, scale: Scale, samples: Sequence[NarrowSample]
) -> CpuRowsParameters:
    """The cycles of widening that meet these timings best."""
    kernels = dict.fromkeys(sample.case.kernel for sample in samples)
    ordered = [[sample for sample in samples if sample.case.kernel == kernel] for kernel in kernels]
    works: list[Work] = [join([narrow_work(machine, s.case, s.dtype) for s in those]) for those in ordered]
    timings = [sample.timing for those in ordered for sample in those]
    return fit_works(machine, CONSTANTS, scale, works, timings)
