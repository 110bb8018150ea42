"""Products to calibrate on: shapes, densities and patterns that make each constant of the model show.

They span every level of memory that a layer may come from, panels of every width, rows that end in every
remainder, and inputs and outputs that do and do not straddle cache lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATTERNS = ("random", "skewed", "2:4", "4x1", "16x1")
SKEW = 0.8
"""Standard deviation of the logarithm of a row's density."""
COLD_FROM_BYTES = 3e6
"""Layers of more dense bytes than this are also timed with nothing in the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCase:
    """``Y[m, n] = W[m, k] · X[k, n]`` with a pattern of W and the share of weights kept."""

    m: int
    k: int
    n: int
    pattern: str
    density: float

    @property
    def dense_bytes(self) -> int:
        """Bytes of all three matrices in fp32."""
        return 4 * (self.m * self.k + self.k * self.n + self.m * self.n)

    @property
    def label(self) -> str:
        """The case as text."""
        return f"{self.m}x{self.k}x{self.n} {self.pattern} {self.density:.2f}"


def make_mask(case: ProductCase, seed: int) -> NDArray[np.bool_]:
    """Which weights (m, k) are kept."""
    generator = np.random.default_rng([seed, case.m, case.k, case.n])
    m, k, density = case.m, case.k, case.density
    if case.pattern == "2:4":
        scores = generator.random((m, k // 4, 4), np.float32)
        return (scores.argsort(axis=2).argsort(axis=2) < 2).reshape(m, k)
    if case.pattern in ("4x1", "16x1"):
        rows = int(case.pattern.split("x")[0])
        return np.repeat(generator.random((m // rows, k), np.float32) < density, rows, axis=0)
    share = np.full(m, density)
    if case.pattern == "skewed":
        share = np.minimum(density * generator.lognormal(-(SKEW**2) / 2, SKEW, m), 0.95)
    return generator.random((m, k), np.float32) < share[:, None].astype(np.float32)


_WIDE = (
    (64, 64, 64), (128, 128, 24), (128, 512, 49), (256, 256, 196), (512, 512, 33), (512, 768, 128),
    (1024, 256, 100), (256, 1024, 512), (2048, 512, 40), (768, 3072, 48), (64, 2304, 196), (1536, 384, 256),
    (384, 1536, 31), (1024, 1024, 64), (256, 4608, 49), (4096, 256, 72), (128, 4096, 130), (512, 128, 1000),
)  # fmt: skip
_NARROW = (
    (256, 256, 16), (1024, 512, 8), (512, 2048, 5), (2048, 1024, 16), (64, 4096, 12), (4096, 512, 6),
    (768, 768, 15), (1536, 1536, 9),
)  # fmt: skip
_VECTOR = (
    (64, 64, 1), (256, 512, 1), (1024, 256, 1), (512, 2048, 1), (1024, 1024, 1), (2048, 2048, 1),
    (4096, 1024, 1), (1024, 4096, 2), (256, 8192, 1), (2048, 1024, 3), (768, 768, 4), (3072, 4096, 1),
)  # fmt: skip
_LARGE = (
    (2048, 2048, 32), (4096, 2048, 16), (3072, 3072, 16), (1024, 4096, 40), (4096, 4096, 8),
    (1024, 256, 1008), (192, 1024, 1024), (384, 384, 1024), (6144, 2048, 12), (8192, 512, 32),
)  # fmt: skip
_THIN = (
    (2048, 96, 3), (96, 3072, 4), (1536, 128, 8), (2048, 64, 1), (64, 2048, 1), (6144, 128, 1),
    (3072, 384, 1), (384, 384, 1),
)  # fmt: skip
"""Few columns with short rows or few of them: what a row, an input and a weight cost comes apart."""
_SMALL = ((960, 512, 2), (448, 704, 3), (640, 384, 4), (256, 480, 8), (304, 208, 15), (128, 480, 16))
"""As large as a BLAS still multiplies without packing: each remainder of columns beside what a call costs."""
_DENSITIES = (0.03, 0.1, 0.3, 0.6, 0.85)


def designed_cases() -> Iterator[ProductCase]:
    """The cases of a calibration, in an order that spreads every kind over its whole time."""
    turn = 0
    for group, densities in ((_WIDE, 2), (_NARROW, 2), (_VECTOR, 2), (_LARGE, 1)):
        for m, k, n in group:
            for step in range(densities):
                density = _DENSITIES[(2 * turn + 3 * step) % len(_DENSITIES)]
                pattern = PATTERNS[(turn + step) % len(PATTERNS)]
                yield ProductCase(m=m, k=k, n=n, pattern=pattern, density=_kept(pattern, density))
                turn += 1
    for n in (5, 6, 7, 8, 12, 16, 17, 24, 32, 40, 48, 56, 63, 72):
        density = _DENSITIES[turn % len(_DENSITIES)]
        turn += 1
        yield ProductCase(m=128, k=128, n=n, pattern=("random", "4x1")[turn % 2], density=density)
    for m, k, n in _THIN + _SMALL:
        density = _DENSITIES[turn % len(_DENSITIES)]
        yield ProductCase(m=m, k=k, n=n, pattern=("random", "4x1")[turn % 2], density=density)
        turn += 1


def _kept(pattern: str, density: float) -> float:
    return 0.5 if pattern == "2:4" else density
