"""How long a product with few vectors takes, roughly: for choosing a kernel, not for reporting.

Source: measured on one core of a Zen 3 CPU at 3.2 GHz (AVX2; 32 KB L1, 512 KB L2, 32 MB L3), in one process
beside OpenBLAS: cycles with weights in L2, and the rate at which weights stream from L3 and DRAM. Ratios
between kernels carry over to similar CPUs; absolute times do not.
"""

from __future__ import annotations

from typing import Literal

from simsparse.errors import FormatError
from simsparse.kernels.gemv_bsr import block_passes
from simsparse.packed.gemv_quantise import STORED, WeightType

CostKernel = Literal["dense", "bitmask", "nm", "csr", "bsr"]

_CLOCK_HZ = 3.2e9
_CALL_S = {"dense": 3.5e-6, "bitmask": 2e-6, "nm": 2e-6, "csr": 2e-6, "bsr": 2e-6}
_THREADS_CALL_S = 16e-6
"""A bound call, and what a second thread adds."""
_CYCLES = {"dense": 0.2, "bitmask": 0.32, "nm": 0.29, "csr": 0.8, "bsr": 0.45}
"""Per dense position (dense, bitmask), per stored slot (nm, csr, bsr in blocks of four rows), and vector."""
_WIDE_CSR_CYCLES = 1.3
"""Per slot of compressed rows for two to eight vectors together."""
_FURTHER_BSR_CYCLES = 0.1
"""Per slot and vector after the first of a pass over blocks."""
_ROW_CYCLES = {"dense": 3.0, "bitmask": 10.0, "nm": 10.0, "csr": 4.0, "bsr": 4.0}
_RATES = ((0.4e6, 90e9), (12e6, 60e9), (24e6, 32e9), (float("inf"), 25e9))
"""Bytes per second for weights of up to so many bytes in all."""
_EXTRA_BITS = {"dense": 0.0, "nm": 2.0, "csr": 16.0, "bsr": 2.0}
"""Position bits per stored slot; the bitmask has one per dense position."""


def gemv_seconds(
    kernel: CostKernel,
    shape: tuple[int, int],
    stored: int,
    *,
    dtype: WeightType = "fp32",
    n: int = 1,
    threads: int = 1,
) -> float:
    """Estimated seconds of ``W @ x`` for W (m, k) with ``stored`` value slots and n vectors.

    Slots are the kept weights for "csr" and "bitmask", N of M positions for "nm", all of every stored block
    for "bsr", and m · k for "dense". The slower of arithmetic and memory counts in full, the other a third:
    they overlap in part.

    Raises
    ------
    FormatError
        If the kernel is unknown.

    >>> one = gemv_seconds("csr", (4096, 4096), 4096 * 410)
    >>> one < gemv_seconds("dense", (4096, 4096), 4096 * 4096)
    True
    """
    if kernel not in _CYCLES:
        raise FormatError(f"gemv_seconds: expected kernel {', '.join(_CYCLES)}, got {kernel!r}")
    m, k = shape
    work = m * k if kernel in ("dense", "bitmask") else stored
    per_item = _CYCLES[kernel] * n
    if kernel == "bsr":
        passes, columns = block_passes(n)
        per_item = _CYCLES[kernel] * passes + _FURTHER_BSR_CYCLES * (columns - passes)
    if kernel == "csr" and n > 1:
        per_item = _WIDE_CSR_CYCLES * -(-n // 8)
    compute_s = (work * per_item + m * _ROW_CYCLES[kernel] * n) / _CLOCK_HZ
    extra_bits = m * k if kernel == "bitmask" else stored * _EXTRA_BITS[kernel]
    stored_bytes = stored * STORED[dtype].itemsize + extra_bits / 8
    memory_s = stored_bytes / next(rate for limit, rate in _RATES if stored_bytes <= limit)
    slower, faster = max(compute_s, memory_s), min(compute_s, memory_s)
    call_s = _CALL_S[kernel] + (_THREADS_CALL_S if threads > 1 else 0.0)
    return call_s + (slower + faster / 3) / threads
