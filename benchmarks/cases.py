"""The grid: shapes, sparsities and patterns of weights, made from seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.loops import aligned

SPMM_SHAPES = (
    (1024, 1024, 128),
    (3072, 768, 128),
    (4096, 1024, 256),
    (512, 4608, 196),
    (256, 2304, 784),
)
NARROW_SHAPE = (4096, 4096, 16)
GEMV_SHAPE = (4096, 4096, 1)
SPARSITIES = (0.5, 0.75, 0.9, 0.95, 0.98)
PATTERNS = ("random", "skewed", "4x1")
"""Those that take any sparsity; 2:4 comes on top."""
SKEW = 1.0
"""Standard deviation of the logarithm of a row's density."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One product ``Y[m, n] = W[m, k] · X[k, n]`` with a pattern of W; ``sparsity`` is the share removed."""

    m: int
    k: int
    n: int
    pattern: str
    sparsity: float

    @property
    def kind(self) -> str:
        """``gemv``, ``narrow`` (fewer than 128 columns) or ``spmm``."""
        return "gemv" if self.n == 1 else "narrow" if self.n < 128 else "spmm"

    @property
    def shape(self) -> str:
        """The three sizes as text."""
        return f"{self.m}x{self.k}x{self.n}"

    @property
    def dense_bytes(self) -> int:
        """Bytes of all three matrices in fp32."""
        return 4 * (self.m * self.k + self.k * self.n + self.m * self.n)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operands:
    """The arrays of a case: weights (m, k) and their mask, x of shape (k, n), or (k,) for one column."""

    case: Case
    weights: NDArray[np.float32]
    mask: NDArray[np.bool_]
    x: NDArray[np.float32]
    reference: NDArray[np.float64]
    bound: NDArray[np.float64]
    """How far any order of summing in fp32 may end from the reference."""

    @property
    def nnz(self) -> int:
        """Weights kept."""
        return int(self.mask.sum())

    def new_y(self) -> NDArray[np.float32]:
        """An aligned array for the result, filled with NaN."""
        y = aligned(self.reference.shape)
        y.fill(np.nan)
        return y

    def correct(self, y: NDArray[np.float32]) -> bool:
        """Whether ``y`` is the product within rounding."""
        return y.shape == self.reference.shape and bool(np.all(np.abs(y - self.reference) <= self.bound))


def grid(*, quick: bool) -> Iterator[Case]:
    """All cases, or a subset that takes less than a minute."""
    shapes = SPMM_SHAPES[:1] if quick else SPMM_SHAPES
    sparsities = (0.5, 0.9) if quick else SPARSITIES
    for m, k, n in (*shapes, NARROW_SHAPE, GEMV_SHAPE):
        if quick and (m, k, n) == NARROW_SHAPE:
            continue
        for pattern in PATTERNS:
            for sparsity in sparsities:
                yield Case(m=m, k=k, n=n, pattern=pattern, sparsity=sparsity)
        yield Case(m=m, k=k, n=n, pattern="2:4", sparsity=0.5)


def make_operands(case: Case, seed: int = 0) -> Operands:
    """Weights and activations of a case, and what their product must be."""
    generator = np.random.default_rng(seed)
    mask = make_mask(case, generator)
    weights = aligned((case.m, case.k))
    np.copyto(weights, generator.standard_normal((case.m, case.k), np.float32) * mask)
    x = aligned((case.k,) if case.n == 1 else (case.k, case.n))
    np.copyto(x, generator.standard_normal(x.shape, np.float32))
    magnitude = (np.abs(weights) @ np.abs(x)).astype(np.float64)
    bound = 1.01 * (int(mask.sum(axis=1).max()) + 2) * float(np.finfo(np.float32).eps) * magnitude
    reference = weights.astype(np.float64) @ x.astype(np.float64)
    return Operands(case=case, weights=weights, mask=mask, x=x, reference=reference, bound=bound + 1e-30)


def make_mask(case: Case, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which weights (m, k) are kept."""
    m, k, density = case.m, case.k, 1 - case.sparsity
    if case.pattern == "random":
        return generator.random((m, k)) < density
    if case.pattern == "skewed":
        return generator.random((m, k)) < skewed_densities(m, density, generator)[:, None]
    if case.pattern == "4x1":
        return np.repeat(generator.random((m // 4, k)) < density, 4, axis=0)
    groups = generator.random((m, k // 4, 4))
    return (groups.argsort(axis=2).argsort(axis=2) < 2).reshape(m, k)


def skewed_densities(rows: int, density: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Lognormal densities of rows, cut off at 1, that have the wanted mean."""
    raw = generator.lognormal(0.0, SKEW, rows)
    low, high = 0.0, 1.0 / float(raw.min())
    for _ in range(60):
        middle = (low + high) / 2
        if np.minimum(raw * middle, 1.0).mean() < density:
            low = middle
        else:
            high = middle
    return np.minimum(raw * high, 1.0)
