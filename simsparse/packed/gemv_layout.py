"""What the layouts of the matrix-vector kernels share: aligned memory, rows in whole groups, fair ranges."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LINE_BYTES = 64


def aligned(size: int, dtype: DTypeLike, slack: int = 0) -> Array:
    """Zeroed elements that start on a cache line; ``slack`` more follow that only a vector load may touch."""
    kind = np.dtype(dtype)
    raw = np.zeros((size + slack) * kind.itemsize + LINE_BYTES, np.uint8)
    first = -_address(raw) % LINE_BYTES
    return raw[first : first + (size + slack) * kind.itemsize].view(kind)


class _PerThread(threading.local):
    buffer = np.empty(0, np.float32)


_per_thread = _PerThread()


def scratch(size: int) -> Floats:
    """Floats that start on a cache line, not set, and of use until this thread asks again.

    Kept between calls: getting aligned memory takes as long as a small product.
    """
    if _per_thread.buffer.size < size:
        _per_thread.buffer = aligned(size, np.float32)
    return _per_thread.buffer[:size]


def _address(array: Array) -> int:
    """Where an array starts; ``array.ctypes`` takes longer than a small product."""
    return int(array.__array_interface__["data"][0])


def groups_of(count: int, size: int) -> int:
    """Groups of ``size`` that hold ``count``."""
    return -(-count // size)


def fair_bounds(weights: Ints, threads: int) -> Ints:
    """(threads + 1,) group numbers that split groups into ranges of about equal total weight."""
    total = np.concatenate(([0], np.cumsum(weights)))
    targets = total[-1] * np.arange(threads + 1) / threads
    bounds = np.searchsorted(total, targets)
    bounds[0], bounds[-1] = 0, weights.size
    return np.maximum.accumulate(bounds).astype(np.int64)


def whole_scales(scales: Floats, rows: int) -> Floats:
    """Row scales for whole groups of rows; the rows beyond the last have scale 1."""
    padded = aligned(rows, np.float32)
    padded[:] = 1
    padded[: scales.size] = scales
    return padded


def as_bits(values: Array) -> Array:
    """Stored values as unsigned integers, to tell +0 from −0."""
    return values.view(f"u{values.dtype.itemsize}")


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run Numba's parallel loops on that many threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout(ABC):
    """Packed weights of a matrix (m, k): arrays as fields, and the product with them.

    ``bounds`` are the groups where each thread's range starts and ends.
    """

    shape: tuple[int, int]
    bounds: Ints
    scales: Floats
    values: Array

    @property
    def threads(self) -> int:
        """Threads the product runs on."""
        return self.bounds.size - 1

    @property
    def stored_bytes(self) -> int:
        """Bytes of everything a product reads of the weights, alignment left out."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    @abstractmethod
    def multiply(self, x: Array) -> Floats:
        """``W @ x`` (m, n) for x of shape (k, n) as the bits of float32 (uint32), n in 1..8."""
