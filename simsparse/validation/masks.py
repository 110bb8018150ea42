"""Masks with exactly a published density, for tables that give no weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fixed_count(generator: np.random.Generator, shape: tuple[int, int], density: float) -> NDArray[np.bool_]:
    """A mask with ``round(density · size)`` nonzeros at random places: the count is fixed, not its
    expectation.
    """
    flat = np.zeros(shape[0] * shape[1], dtype=np.bool_)
    kept = round(density * flat.size)
    flat[:kept] = True
    if 0 < kept < flat.size:
        generator.shuffle(flat)
    return flat.reshape(shape)
