"""How long a product with two columns or more takes, roughly: for choosing a kernel, not for reporting.

Source: measured on one core of a Zen 3 CPU at 3.2 GHz (AVX2, eight floats a vector) beside OpenBLAS, with 2
to 784 columns and densities of 0.02 to 0.5. All products are bound by FMAs and loads, so cycles per position
and vector of columns carry over to other vectors: only their ratio decides.
"""

from __future__ import annotations

from simsparse.kernels.simd import LANES
from simsparse.packed.panels import panels
from simsparse.packed.tiled import VECTORS

_CLOCK_HZ = 3.2e9
_CALL_S = {"dense": 3.5e-6, "tiled": 2e-6, "pairs": 2e-6}
_VECTOR_CYCLES = {"dense": 0.535, "tiled": 0.68}
"""Per position (dense) or weight (tiled) and vector of columns."""
_ALONE_CYCLES = {"dense": 0.535, "tiled": 0.6}
"""Per position or weight whatever the columns: packing in BLAS, a weight's index and splat in our loops."""

_PAIR_CYCLES, _PAIR_LATENCY, _PAIR_ALONE = 0.6, 2.0, 0.27
"""Per weight of a pair of rows and panel: for each vector, at least, and whatever the vectors."""


def spmm_seconds(kernel: str, positions: int, n: int, isa: str) -> float:
    """Estimated seconds of a product with n columns: "dense" of all positions, else of kept weights.

    "tiled" are compressed rows and groups of four, "pairs" pairs of rows with equally many weights.

    >>> spmm_seconds("tiled", 500_000, 128, "avx2") < spmm_seconds("dense", 1_000_000, 128, "avx2")
    True
    >>> spmm_seconds("tiled", 900_000, 128, "avx2") < spmm_seconds("dense", 1_000_000, 128, "avx2")
    False
    """
    vectors = -(-n // LANES[isa])
    if kernel == "pairs":
        return _CALL_S[kernel] + positions * _pair_cycles(n, isa) / _CLOCK_HZ
    cycles = positions * (_VECTOR_CYCLES[kernel] * vectors + _ALONE_CYCLES[kernel])
    return _CALL_S[kernel] + cycles / _CLOCK_HZ


def _pair_cycles(n: int, isa: str) -> float:
    cut = panels(n, VECTORS["pairs"][isa], isa)
    counts = ((cut.wides, cut.wide.count), (cut.total - cut.wides, cut.narrow.count))
    return sum(
        amount * (max(_PAIR_CYCLES * vectors, _PAIR_LATENCY) + _PAIR_ALONE) for amount, vectors in counts
    )
