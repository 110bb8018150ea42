"""The shares of a product on threads. Apart from ``spmm_run`` because parallel compilation takes long.

Numba's OpenMP layer starts threads in 1 to 3 microseconds; its others take up to 50, or gained nothing on two
cores. So it goes first, before any parallel kernel runs; the others follow where it is missing.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from simsparse.kernels._jit import threaded_kernel
from simsparse.kernels.spmm_run import share

_config: Any = numba.config


def prefer_openmp() -> None:
    """Put OpenMP first among Numba's threading layers; a layer chosen by name or already running stays."""
    _config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def threads_at_most() -> int:
    """Threads that Numba may start."""
    return int(_config.NUMBA_NUM_THREADS)


@threaded_kernel
def shares(
    form: Any,
    wide: Any,
    narrow: Any,
    table: NDArray[np.int64],
    panels: tuple[int, int],
    offset: int,
    tiles: int,
    step: int,
    record: int,
) -> None:
    """One share per thread, a row of the ``table``, each with its own tile; narrow ones start at ``offset``.

    ``panels`` are the wide and the narrow ones of one item of the batch; tiles are ``step`` bytes apart.
    """
    for t in prange(table.shape[0]):
        s = table[t]
        tile = tiles + t * step
        share(form, wide, s[0], s[1], panels[0], 0, s[4], tile, record)
        share(form, narrow, s[2], s[3], panels[1], offset, s[4], tile, record)
