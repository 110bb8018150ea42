"""A binary min-heap on two integer arrays, ordered by (first, second); the event loop's queues are made of
it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]


@kernel
def push(first: IntArray, second: IntArray, size: int, a: int, b: int) -> int:
    """Add (a, b) to a heap of ``size`` entries; returns the new size."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if first[parent] < a or (first[parent] == a and second[parent] <= b):
            break
        first[i] = first[parent]
        second[i] = second[parent]
        i = parent
    first[i] = a
    second[i] = b
    return size + 1


@kernel
def pop(first: IntArray, second: IntArray, size: int) -> int:
    """Remove the smallest entry of a heap of ``size`` entries (read it at index 0 before); returns the new
    size.
    """
    size -= 1
    a = first[size]
    b = second[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            first[right] < first[child] or (first[right] == first[child] and second[right] < second[child])
        ):
            child = right
        if a < first[child] or (a == first[child] and b <= second[child]):
            break
        first[i] = first[child]
        second[i] = second[child]
        i = child
    first[i] = a
    second[i] = b
    return size
