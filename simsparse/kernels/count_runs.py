"""Entries of a run-length code over a flat mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def run_entries(flat: NDArray[np.bool_], longest: int) -> int:
    """One entry per nonzero, and one of value zero for each full ``longest`` zeros in a row."""
    entries, zeros = 0, 0
    for i in range(flat.size):
        zeros += 1
        if flat[i] or zeros == longest:
            entries += 1
            zeros = 0
    return entries
