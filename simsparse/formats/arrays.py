"""The array habits of all formats: checked matrices, raw bits, bit widths and the smallest integer types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import FormatError, ShapeError

_FLOATS = ("float16", "float32", "float64", "bfloat16", "float8_e3", "float8_e4", "float8_e5")
_NATIVE_COMPARE = ("float32", "float64")


def as_matrix(weights: ArrayLike, where: object) -> NDArray[Any]:
    """``weights`` as a contiguous matrix whose zero is all-zero bits; errors start with ``where``."""
    values = np.asarray(weights)
    _expect_matrix(values.shape, "weights", where)
    if not (values.dtype.kind in "iu" and values.dtype.isbuiltin == 1) and not values.dtype.name.startswith(
        _FLOATS
    ):
        raise FormatError(
            f"{where}: expected an integer or float dtype, got {values.dtype} (use float32, bfloat16, int8 …)"
        )
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return np.ascontiguousarray(values)


def as_mask(
    mask: NDArray[np.bool_], where: object, shape: tuple[int, ...] | None = None
) -> NDArray[np.bool_]:
    """``mask`` as a contiguous boolean matrix, of ``shape`` if one is given; errors start with ``where``."""
    kept = np.asarray(mask)
    _expect_matrix(kept.shape, "mask", where)
    if kept.dtype != np.bool_:
        raise FormatError(f"{where}: expected a mask of dtype bool, got {kept.dtype} (write mask != 0)")
    if shape is not None and kept.shape != shape:
        raise ShapeError(f"{where}: expected a mask of the weights' shape {shape}, got {kept.shape}")
    return np.ascontiguousarray(kept)


def _expect_matrix(shape: tuple[int, ...], what: str, where: object) -> None:
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(f"{where}: expected {what} of shape (m, k) with m, k >= 1, got {shape}")


def kept_mask(values: NDArray[Any]) -> NDArray[np.bool_]:
    """``values != 0``: NaN is kept, −0.0 is not. By bits where NumPy's own comparison is slow."""
    if values.dtype.name in _NATIVE_COMPARE or values.dtype.kind in "iu":
        return np.asarray(values != 0, np.bool_)
    raw = raw_bits(values)
    has_negative_zero = not values.dtype.name.endswith("fnuz")
    return np.asarray((raw << 1 if has_negative_zero else raw) != 0, np.bool_)


def count_kept(mask: NDArray[np.bool_]) -> int:
    """True elements of ``mask``."""
    return int(np.count_nonzero(mask))


def value_width(dtype: np.dtype[Any]) -> int:
    """Bits of one value."""
    return 8 * dtype.itemsize


def raw_bits(values: NDArray[Any]) -> NDArray[Any]:
    """The same memory as unsigned integers."""
    return values.view(np.dtype(f"u{values.dtype.itemsize}"))


def index_width(count: int) -> int:
    """Bits that tell ``count`` things apart, ``ceil(log2(count))``, at least 1.

    >>> [index_width(count) for count in (1, 2, 3, 4, 5, 4096)]
    [1, 1, 2, 2, 3, 12]
    """
    return max(1, tight_width(count))


def tight_width(count: int) -> int:
    """``ceil(log2(count))``: 0 bits where there is nothing to tell apart.

    >>> [tight_width(count) for count in (0, 1, 2, 5)]
    [0, 0, 1, 3]
    """
    return max(count - 1, 0).bit_length()


def chosen_width(given: int | None, count: int, what: str) -> int:
    """``given`` bits if a machine fixes them, else as many as ``count`` things need.

    Raises
    ------
    FormatError
        If the given width is too narrow; ``what`` says for what.
    """
    needed = index_width(count)
    if given is None:
        return needed
    if given < needed:
        raise FormatError(f"{what}: expected at least {needed} bits to count to {count - 1}, got {given}")
    return given


def narrow(data: NDArray[Any], bits: int) -> NDArray[Any]:
    """``data`` in the smallest unsigned dtype of at least ``bits`` bits."""
    for width in (8, 16, 32):
        if bits <= width:
            return data.astype(f"u{width // 8}")
    return data.astype(np.uint64)


def nonzero_slots(raw: NDArray[Any]) -> NDArray[np.int64]:
    """Flat indices of values whose bits are not all zero: everything that is not padding, bar kept +0."""
    return np.flatnonzero(raw)


def owners(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """0 repeated ``counts[0]`` times, 1 repeated ``counts[1]`` times …: the row of each of ``size`` entries.

    Raises
    ------
    ValueError
        If the counts do not add up to ``size``; NumPy alone would broadcast a lone entry over all of them.

    >>> owners(np.array([2, 0, 1]), 3).tolist()
    [0, 0, 2]
    """
    found = np.repeat(np.arange(counts.size, dtype=np.int64), counts)
    if found.size != size:
        raise ValueError(f"pointers to {found.size} entries, {size} stored")
    return found
