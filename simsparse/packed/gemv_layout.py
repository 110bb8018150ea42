"""What the layouts of the matrix-vector kernels share: aligned memory, rows in whole groups, fair ranges."""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels.gemv_columns import copy_vectors
from simsparse.packed.arrays import aligned_zeros
from simsparse.packed.threads import on_threads

Array = NDArray[Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Call = Callable[[], None]


class _PerThread(threading.local):
    buffer = np.empty(0, np.float32)


_per_thread = _PerThread()


def scratch(size: int) -> Floats:
    """Floats that start on a cache line, not set, and of use until this thread asks again.

    Kept between calls: getting aligned memory takes as long as a small product.
    """
    if _per_thread.buffer.size < size:
        _per_thread.buffer = aligned_zeros(size, np.float32)
    return _per_thread.buffer[:size]


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
    padded = aligned_zeros(rows, np.float32)
    padded[:] = 1
    padded[: scales.size] = scales
    return padded


def as_bits(values: Array) -> Array:
    """Stored values as unsigned integers, to tell +0 from −0."""
    return values.view(f"u{values.dtype.itemsize}")


def unless_special(x: Array, vectors: Floats, stride: int, fast: Call, plain: Call) -> Call:
    """Copy x (k, n) to n ``vectors``, then ``fast``; or ``plain``, where NaN or Inf must not meet zeros."""
    bits = vectors.view(np.uint32)

    def product() -> None:
        if copy_vectors(x, bits, stride):
            plain()
        else:
            fast()

    return product


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

    def multiply(self, x: Array) -> Floats:
        """``W @ x`` (m, n) for x of shape (k, n) as the bits of float32 (uint32), n in 1..8."""
        n = x.shape[1]
        copied, summed = self._sizes(n)
        y = np.empty(summed, np.float32)
        self._bound(x, scratch(copied), y)()
        return self._rows(y, n)

    def bind(self, x: Array, out: Floats) -> Call:
        """``multiply`` of these bits into ``out`` (m, n), as often as it is called; one call at a time."""
        n = x.shape[1]
        copied, summed = self._sizes(n)
        vectors: Floats = aligned_zeros(copied, np.float32)
        if summed == out.size and out.flags.c_contiguous:
            return self._bound(x, vectors, out.reshape(-1))
        y = np.empty(summed, np.float32)
        product, rows = self._bound(x, vectors, y), self._rows(y, n)

        def multiply() -> None:
            product()
            np.copyto(out, rows)

        return multiply

    @property
    def stride(self) -> int:
        """Floats from vector to vector of the kernel's copy."""
        return self.shape[1]

    def _sizes(self, n: int) -> tuple[int, int]:
        """Floats of the kernel's copy of n vectors, and of what it writes, whole groups of rows."""
        return n * self.stride, n * self.scales.size

    def _rows(self, y: Floats, n: int) -> Floats:
        """What the kernel wrote as (m, n)."""
        return y.reshape(-1, n)[: self.shape[0]]

    @abstractmethod
    def _bound(self, x: Array, vectors: Floats, y: Floats) -> Call:
        """Copy x (k, n) to ``vectors``, sum up to ``y``."""

    def _on_threads(self, alone: Callable[..., None], shared: Callable[..., None], *arguments: Any) -> Call:
        """All groups by ``alone``, or by ``shared`` where there are several threads."""
        if self.threads == 1:
            return functools.partial(alone, 0, self.groups, *arguments)
        own = (self.bounds, *arguments)
        return lambda: on_threads(self.threads, lambda: shared, own)

    @property
    def groups(self) -> int:
        """Groups of rows that threads share out."""
        return int(self.bounds[-1])
