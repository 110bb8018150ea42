"""Small loops with a known cost: the gate's probe, the cache flush, and what one core can do at most.

The FMA loop is written as LLVM instructions, since nothing else keeps its sums in registers for certain.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

_emit: Any = _cgutils

FMA_SUMS = 12
"""Independent sums: latency (4 cycles) times FMAs per cycle (2) and some more; 16 registers hold them."""


WINDOW_SHIFTS = 8
"""Cache lines by which the summed window moves from turn to turn."""


def vector_lanes() -> int:
    """Floats in the widest vector of this CPU."""
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


LANES = vector_lanes()


@kernel
def sum_window(values: NDArray[np.int64], length: int, repeats: int) -> int:
    """Sum ``length`` values, ``repeats`` times over; ``values`` holds ``WINDOW_SHIFTS`` lines more.

    Each turn starts at another cache line, so that no compiler can take the loads out of the outer loop.
    """
    total = 0
    for turn in range(repeats):
        start = (turn & 7) * 8
        window = values[start : start + length]  # a slice spares the test for negative indices
        for i in range(length):
            total += window[i]
    return total


def window_buffer(size_bytes: int) -> NDArray[np.int64]:
    """Values for ``sum_window`` over ``size_bytes``."""
    return aligned((size_bytes // 8 + 8 * WINDOW_SHIFTS,), np.int64)


@intrinsic
def _fma_chain(_typing: Any, _repeats: Any, _factor: Any, _addend: Any) -> Any:
    """``FMA_SUMS`` vectors, each multiplied and added to so many times; returns their sum, so that none is
    dropped.
    """
    signature = types.float32(types.int64, types.float32, types.float32)
    vector = ir.VectorType(ir.FloatType(), LANES)

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        fma = _emit.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )
        turns, *scalars = arguments
        factors, addends = (_splat(builder, scalar, vector) for scalar in scalars)
        sums = [_emit.alloca_once_value(builder, addends) for _ in range(FMA_SUMS)]
        with _emit.for_range(builder, turns):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), factors, addends]), place)
        total = builder.load(sums[0])
        for place in sums[1:]:
            total = builder.fadd(total, builder.load(place))
        result = builder.extract_element(total, ir.IntType(32)(0))
        for lane in range(1, LANES):
            result = builder.fadd(result, builder.extract_element(total, ir.IntType(32)(lane)))
        return result

    return signature, emit


def _splat(builder: Any, scalar: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, lanes)


@kernel
def fma_loop(repeats: int, factor: np.float32, addend: np.float32) -> float:
    """``repeats`` × ``FMA_SUMS`` × ``LANES`` fused multiply-adds that touch no memory."""
    return _fma_chain(repeats, factor, addend)  # type: ignore[call-arg]


def aligned(shape: tuple[int, ...], dtype: Any = np.float32, alignment: int = 64) -> NDArray[Any]:
    """Zeros whose first byte lies on a cache line.

    Written out: pages that were only asked for all read the same page of zeros, which never leaves L1.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    raw = np.empty(size + alignment, np.uint8)
    raw.fill(0)
    start = -raw.ctypes.data % alignment
    view: NDArray[Any] = raw[start : start + size].view(kind).reshape(shape)
    return view


CLOCK_STEPS = 6
"""Cycles of one turn of ``clock_loop``: shifts and exclusive ors that wait for each other."""


@kernel
def clock_loop(repeats: int) -> int:
    """``repeats`` turns of a chain that no CPU can shorten, to tell its clock."""
    x = np.uint64(88172645463325252)
    for _ in range(repeats):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return int(x)
