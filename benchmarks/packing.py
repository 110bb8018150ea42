"""What each storage format becomes when it is packed, and how many products that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case, make_mask
from simsparse.errors import FormatError
from simsparse.formats import encode, format_names, make_format
from simsparse.packed import prepare

SIDE, COLUMNS = 1024, 128
VNM = (64, 2, 8)
"""Rows that share columns, kept, group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One format's way to a kernel on one thread."""

    format: str
    pattern: str
    kernel: str
    packed_from: str | None
    packing_s: float
    product_s: float

    @property
    def products(self) -> float:
        """Packing, in products."""
        return self.packing_s / self.product_s


def packings(repeats: int = 7) -> Iterator[Packing]:
    """All formats on weights of ``SIDE`` x ``SIDE`` and ``COLUMNS`` columns, best of ``repeats``."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((SIDE, COLUMNS), np.float32)
    for name in format_names():
        pattern, mask = _fitting(name, generator)
        weights = generator.standard_normal(mask.shape, np.float32) * mask
        encoded = encode(weights, name, mask)
        packed = prepare(encoded, COLUMNS)
        y = np.empty((SIDE, COLUMNS), np.float32)
        yield Packing(
            format=name,
            pattern=pattern,
            kernel=packed.kernel,
            packed_from=packed.packed_from,
            packing_s=min(prepare(encoded, COLUMNS).packing_s for _ in range(repeats)),
            product_s=_best_s(lambda packed=packed, y=y: packed.multiply(x, out=y), repeats),  # type: ignore[misc]
        )


def _fitting(name: str, generator: np.random.Generator) -> tuple[str, NDArray[np.bool_]]:
    """The first pattern that the format holds: 90 % random, 2:4, V:N:M."""
    for pattern, sparsity in (("random", 0.9), ("2:4", 0.5)):
        mask = make_mask(Case(m=SIDE, k=SIDE, n=COLUMNS, pattern=pattern, sparsity=sparsity), generator)
        try:
            make_format(name).check(mask)
        except FormatError:
            continue
        return f"{pattern} {sparsity:g}", mask
    rows, keep, group = VNM
    order = generator.random((SIDE // rows, SIDE // group, group)).argsort(axis=2).argsort(axis=2)
    return ":".join(map(str, VNM)), np.repeat((order < keep).reshape(SIDE // rows, SIDE), rows, axis=0)


def _best_s(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(3 * repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
