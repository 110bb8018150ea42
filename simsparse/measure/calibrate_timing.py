"""Timing the kernels that a product can run on, one beside the other, with the caches in a known state."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from simsparse.formats import encode, make_format
from simsparse.kernels.host_loops import aligned
from simsparse.measure.calibrate_cases import ProductCase, make_mask
from simsparse.measure.predict import competing_kernels
from simsparse.measure.timing import Call, Timer, Timing
from simsparse.packed import prepare
from simsparse.packed.dense import blas_threads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadyCase:
    """A case with its mask (m, k) and a call for each kernel that multiplies it, bound as a network binds it.

    All write to ``out`` (m, n).
    """

    case: ProductCase
    mask: NDArray[np.bool_]
    calls: dict[str, Call]
    out: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One kernel's time in one case."""

    case: ProductCase
    kernel: str
    threads: int
    cold: bool
    timing: Timing


def kernels_for(case: ProductCase) -> tuple[str, ...]:
    """The kernels that compete for a case, dense among them."""
    return competing_kernels(case.n, nm=case.pattern == "2:4", blocks="x" in case.pattern)


def block_rows(case: ProductCase) -> int:
    """Height of the case's blocks."""
    return int(case.pattern.split("x")[0]) if "x" in case.pattern else 4


def make_ready(case: ProductCase, seed: int, threads: int = 1) -> ReadyCase:
    """Seeded operands, packed for every kernel."""
    mask = make_mask(case, seed)
    generator = np.random.default_rng(seed)
    weights = generator.random((case.m, case.k), np.float32) + np.float32(0.5)
    weights *= mask
    x, y = aligned((case.k, case.n)), aligned((case.m, case.n))
    x += generator.random((case.k, case.n), np.float32)
    encoded = encode(weights, "csr", mask)
    calls: dict[str, Call] = {}
    for kernel in kernels_for(case):
        stored = encoded
        if kernel == "gemv-bsr":
            stored = encode(weights, make_format(f"bsr:{block_rows(case)}x1"), mask)
        packed = prepare(stored, n_columns=case.n, threads=threads, kernel=kernel)
        calls[kernel] = packed.bind(x, y)
    return ReadyCase(case=case, mask=mask, calls=calls, out=y)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Those of the libraries that are loaded; finding them takes milliseconds."""
    return ThreadpoolController()


def time_case(
    timer: Timer, ready: ReadyCase, *, threads: int = 1, cold: Sequence[bool] = (False,)
) -> list[Sample]:
    """One pass over a case's kernels in each cache state, with the threads of BLAS as in a network."""
    found = []
    for state in cold:
        with _thread_pools().limit(limits=blas_threads(threads), user_api="blas"):
            timed = timer.measure(ready.calls, threads=threads, cold=state)
        found += [
            Sample(case=ready.case, kernel=kernel, threads=threads, cold=state, timing=timing)
            for kernel, timing in timed.items()
        ]
    return found
