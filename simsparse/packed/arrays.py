"""Arrays as kernels want them: aligned to cache lines, addressed in bytes, shared out evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE_BYTES = 64
HUGE_PAGE = 2**21


def aligned(size: int, dtype: DTypeLike, *, padding: int = 0) -> NDArray[Any]:
    """``size`` uninitialised elements whose first starts a cache line; ``padding`` zeros follow in memory."""
    element = np.dtype(dtype)
    room = np.empty((size + padding) * element.itemsize + LINE_BYTES, np.uint8)
    start = -address(room) % LINE_BYTES
    whole = room[start : start + (size + padding) * element.itemsize].view(element)
    whole[size:] = 0
    return whole[:size]


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """``size`` zeros whose first starts a cache line."""
    zeros = aligned(size, dtype)
    zeros[:] = 0
    return zeros


def huge_pages(size: int) -> NDArray[np.uint8]:
    """``size`` uninitialised bytes, rounded up to huge pages.

    Rows of a tensor lie pages apart, too many for the TLB otherwise. NumPy asks the system for huge pages
    from 4 MiB on; what is not touched takes no memory.
    """
    pages = max(2, -(-size // HUGE_PAGE))
    room = np.empty((pages + 1) * HUGE_PAGE, np.uint8)
    start = -address(room) % HUGE_PAGE
    return room[start : start + pages * HUGE_PAGE]


def address(array: NDArray[Any]) -> int:
    """Where the first element is; ``array.ctypes.data`` takes a microsecond longer."""
    first: int = array.__array_interface__["data"][0]
    return first


def can_write(
    y: NDArray[Any], x: NDArray[Any], residual: NDArray[Any] | None, *, adds_in_place: bool
) -> bool:
    """Whether nothing that a kernel still reads lies where it writes.

    With ``adds_in_place`` that may be the residual, element by element.
    """
    read = [x] if residual is None or (adds_in_place and _is_same(y, residual)) else [x, residual]
    return not any(np.may_share_memory(y, other) for other in read)


def _is_same(y: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether both have their elements at the same places."""
    return (address(y), y.shape, y.strides, y.dtype) == (
        address(other),
        other.shape,
        other.strides,
        other.dtype,
    )


def balanced_bounds(costs: NDArray[np.int64], parts: int, *, multiple: int = 1) -> NDArray[np.int64]:
    """Where to cut rows of these costs into ``parts`` runs of about the same cost, at multiples of a number.

    >>> balanced_bounds(np.array([1, 1, 1, 9]), 2).tolist()
    [0, 3, 4]
    """
    running = np.zeros(costs.size + 1, np.int64)
    np.cumsum(costs, out=running[1:])
    aims = running[-1] * np.arange(1, parts) / parts
    after = running.searchsorted(aims)
    bounds = [0]
    both = (running[np.maximum(after - 1, 0)].tolist(), running[after].tolist())
    for cut, aim, low, high in zip(after.tolist(), aims.tolist(), *both, strict=True):
        nearer = cut - (aim - low < high - aim)
        bounds.append(max(bounds[-1], min(round(nearer / multiple) * multiple, costs.size)))
    return np.array([*bounds, costs.size], np.int64)
