"""Matrices, and their products in float64 with how far sums in float32 may be off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats import format_names, make_format

Mask = NDArray[np.bool_]
SHAPES = ((1, 1), (5, 7), (16, 64), (67, 300))
COLUMNS = (1, 3, 15, 16, 17, 130)


def masks(m: int, k: int, seed: int = 0) -> dict[str, Mask]:
    """One mask of each kind; all but the full one leave a row and a column empty where they can."""
    rng = np.random.default_rng(seed)
    groups = rng.random((m, -(-k // 4), 4)).argsort(axis=2).argsort(axis=2) < 2
    found = {
        "empty": np.zeros((m, k), np.bool_),
        "full": np.ones((m, k), np.bool_),
        "thin": rng.random((m, k)) < 0.03,
        "half": rng.random((m, k)) < 0.5,
        "2:4": groups.reshape(m, -1)[:, :k].copy(),
        "4x1": np.repeat(rng.random((-(-m // 4), k)) < 0.3, 4, axis=0)[:m],
        "skewed": rng.random((m, k)) < np.linspace(0, 0.9, m)[:, None],
    }
    for kind in found.keys() - {"full"}:
        found[kind][m // 2] = False
        found[kind][:, k // 3] = False
    return found


def weights(mask: Mask, seed: int = 1) -> NDArray[np.float32]:
    """Random weights, no zeros, +0 outside the mask; one kept weight is −0."""
    rng = np.random.default_rng(seed)
    values = np.where(mask, rng.uniform(0.5, 2, mask.shape) * rng.choice([-1, 1], mask.shape), 0)
    kept = np.argwhere(mask)
    if kept.size:
        values[tuple(kept[-1])] = -0.0
    return values.astype(np.float32)


def inputs(k: int, n: int, seed: int = 2) -> NDArray[np.float32]:
    """Normal X (k, n)."""
    return np.random.default_rng(seed).standard_normal((k, n)).astype(np.float32)


def product(w: NDArray[np.float32], mask: Mask, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """``W @ x`` over kept weights only: a NaN in x meets no weight that is not there."""
    y = np.zeros((w.shape[0], x.shape[1]))
    for row, kept in enumerate(mask):
        with np.errstate(invalid="ignore"):
            y[row] = w[row, kept].astype(np.float64) @ x[kept].astype(np.float64)
    return y


def bound(w: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """What sums of float32 products may be off, in any order: (n + 1) · 2**-23 · sum \\|w x\\|."""
    terms = np.count_nonzero(w, axis=1)[:, None] + 1
    return terms * 2.0**-23 * (np.abs(w).astype(np.float64) @ np.abs(x).astype(np.float64)) + 1e-37


def formats_for(mask: Mask) -> list[str]:
    """The built-in formats that hold the mask."""
    found = []
    for name in format_names():
        try:
            make_format(name).check(mask)
        except FormatError:
            continue
        found.append(name)
    return found
