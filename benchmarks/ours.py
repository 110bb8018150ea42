"""Our own product of a case, and what one waits for in a fresh process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from benchmarks.cases import Case, Operands
from benchmarks.dense_peers import Product
from simsparse.formats import encode
from simsparse.packed import Packed, PackedConv, prepare, prepare_conv

ONE_PRODUCT = """
import numpy as np
from simsparse.formats import encode
from simsparse.packed import prepare
weights = np.random.default_rng(0).standard_normal((256, 256), np.float32)
weights[np.abs(weights) < 1.6] = 0
prepare(encode(weights, "csr"), n_columns=128, threads=1) @ np.ones((256, 128), np.float32)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our product, and how it came about."""

    product: Product
    kernel: str
    packing_s: float
    stored_bytes: float


def format_of(case: Case) -> str:
    """The format a person would choose for the pattern."""
    by_pattern = {"2:4": "nm", "4x1": "bsr"}
    unstructured = "bitmask" if case.kind == "gemv" and case.sparsity < 0.9 else "csr"
    return by_pattern.get(case.pattern, unstructured)


def build(operands: Operands, threads: int) -> Ours:
    """Encode, pack and bind; packing of X, or im2col, is part of every call."""
    case = operands.case
    encoded = encode(operands.weights, format_of(case), operands.mask)
    packed: Packed | PackedConv
    if case.conv is None:
        packed = prepare(encoded, n_columns=case.n, threads=threads)
    else:
        packed = prepare_conv(encoded, case.conv, groups=case.groups, threads=threads)
    y = operands.new_y()
    return Ours(
        product=Product(call=lambda: packed.multiply(operands.x, out=y), result=lambda: y),
        kernel=packed.kernel,
        packing_s=packed.packing_s,
        stored_bytes=packed.stored_bytes,
    )


_SHORTEST_S = 1e-4
"""Differences below this are noise."""


def start_up_s(repeats: int = 3) -> tuple[float, float, float]:
    """Seconds of ``import simsparse``, ``simsparse --help``, and compiling what one product needs."""
    bare = _fresh_s(["-c", "pass"], repeats)
    imported = _fresh_s(["-c", "import simsparse"], repeats)
    helped = _fresh_s(["-m", "simsparse", "--help"], repeats)
    with tempfile.TemporaryDirectory() as folder:
        cold = _fresh_s(["-c", ONE_PRODUCT], 1, NUMBA_CACHE_DIR=folder)
        warm = _fresh_s(["-c", ONE_PRODUCT], 1, NUMBA_CACHE_DIR=folder)
    return max(_SHORTEST_S, imported - bare), helped, cold - warm


def _fresh_s(arguments: list[str], repeats: int, **variables: str) -> float:
    """Least CPU seconds of a fresh interpreter: what it would take with a core of its own."""
    best = float("inf")
    for _ in range(repeats):
        before, start = _children_cpu_s(), time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )
        best = min(best, time.perf_counter() - start, _children_cpu_s() - before)
    return best


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
