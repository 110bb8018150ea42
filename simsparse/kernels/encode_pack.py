"""Bit packing: elements of any width, one after the other, least significant bit first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def pack_bits(elements: NDArray[np.uint64], bits: int, out: NDArray[np.uint8], offset: int) -> int:
    """Write ``bits`` of each element into zeroed ``out`` from bit ``offset`` on; gives the next offset."""
    for i in range(elements.size):
        element = elements[i]
        left = bits
        while left > 0:
            used = offset & 7
            take = min(8 - used, left)
            low = np.int64(element & np.uint64((1 << take) - 1))
            out[offset >> 3] |= np.uint8(low << used)
            element >>= np.uint64(take)
            offset += take
            left -= take
    return offset
