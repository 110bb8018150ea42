"""The gate's probe on several cores at once."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from simsparse.kernels._jit import threaded_kernel
from simsparse.kernels.host_loops import sum_window


@threaded_kernel
def sum_windows(values: NDArray[np.int64], length: int, repeats: int, sums: NDArray[np.int64]) -> None:
    """``sum_window`` of every row of ``values``, a thread each; ``sums`` are kept, or no loop would run."""
    for t in prange(values.shape[0]):
        sums[t] = sum_window(values[t], length, repeats)
