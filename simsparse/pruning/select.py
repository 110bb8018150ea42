"""Exact counts: the ``keep`` largest scores of an array, ties to the lower index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UsageError
from simsparse.kernels.mask_select import digit_counts, drop_last_ties
from simsparse.pruning.arrays import Mask, Scores

Keys = NDArray[np.unsignedinteger[Any]]

DIGIT_BITS = 16


def kept_count(density: float, size: int) -> int:
    """How many of ``size`` things a density keeps: the nearest integer.

    >>> kept_count(1 - 0.9, 1000)
    100
    """
    return round(density * size)


def checked_scores(scores: NDArray[Any], name: str) -> Scores:
    """``scores`` as a C-contiguous float32 or float64 array without negative zeros.

    Raises
    ------
    UsageError
        If a score is NaN or negative; ``name`` says whose it is.
    """
    wide = scores.dtype == np.float64
    array: Scores = np.ascontiguousarray(scores, dtype=np.float64 if wide else np.float32)
    keys = as_keys(array)
    infinity = 0x7FF0000000000000 if wide else 0x7F800000
    # as integers, NaN, negative numbers and -0.0 are all larger than infinity: one pass finds any of them
    if array.size == 0 or int(keys.max()) <= infinity:
        return array
    wrong = np.flatnonzero(~(array >= 0))
    if wrong.size:
        where = tuple(int(i) for i in np.unravel_index(wrong[0], array.shape))
        what = "NaN" if np.isnan(array[where]) else f"{array[where]:g}"
        raise UsageError(
            f"{name}: expected saliency scores >= 0, got {what} at {where}"
            f" ({wrong.size} such; check the weights)"
        )
    return np.add(array, 0.0)


def as_keys(scores: Scores) -> Keys:
    """Non-negative floats as unsigned integers in the same order, flat, without a copy."""
    return scores.reshape(-1).view(np.uint64 if scores.dtype == np.float64 else np.uint32)


def walk_down(counts: NDArray[np.integer[Any]], wanted: int) -> tuple[int, int]:
    """The digit that holds the ``wanted``-th largest key, and how many keys have a larger digit."""
    above = counts[::-1].cumsum()
    steps = int(np.searchsorted(above, wanted))
    digit = counts.size - 1 - steps
    return digit, int(above[steps] - counts[digit])


def top_mask(scores: Scores, keep: int) -> Mask:
    """True at exactly the ``keep`` largest of checked ``scores``; of equal ones at the first."""
    if keep >= scores.size:
        return np.ones(scores.shape, np.bool_)
    if keep <= 0:
        return np.zeros(scores.shape, np.bool_)
    keys = as_keys(scores)
    threshold, ties, wanted = 0, 0, keep
    for shift in range(8 * keys.itemsize - DIGIT_BITS, -1, -DIGIT_BITS):
        counts = np.zeros(1 << DIGIT_BITS, np.int64)
        digit_counts(keys, shift, threshold, counts)
        digit, above = walk_down(counts, wanted)
        threshold, ties, wanted = (threshold << DIGIT_BITS) | digit, int(counts[digit]), wanted - above
    mask = keys >= keys.dtype.type(threshold)
    drop_last_ties(keys, threshold, ties - wanted, mask)
    return mask.reshape(scores.shape)
