"""Matches of bitmask chunks, and the time of multipliers that work them off behind a common broadcast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]
WordArray = NDArray[np.uint64]

_ODD = np.uint64(0x5555555555555555)
_PAIRS = np.uint64(0x3333333333333333)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_ONES = np.uint64(0x0101010101010101)
_1, _2, _4, _56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)


@kernel
def ones(word: np.uint64) -> np.int64:
    """Set bits of a 64-bit word; the compiler turns it into one instruction."""
    word = word - ((word >> _1) & _ODD)
    word = (word & _PAIRS) + ((word >> _2) & _PAIRS)
    word = (word + (word >> _4)) & _NIBBLES
    return np.int64((word * _ONES) >> _56)


@kernel
def join_cycles(
    filters: WordArray, inputs: WordArray, unit: IntArray, per_block: int, units: int, minimum: int
) -> IntArray:
    """(blocks, n) cycles of each block of ``per_block`` filters on each input vector.

    ``filters`` is (filters, chunks, words) and ``inputs`` (n, chunks, words). A chunk of inputs goes to all
    units; filter f lies on unit ``unit[chunk, f]`` of its block, which takes one cycle per match, at least
    ``minimum``. The next chunk follows when the slowest unit is done.
    """
    count, chunks, words = filters.shape
    blocks = (count + per_block - 1) // per_block
    out = np.zeros((blocks, len(inputs)), dtype=np.int64)
    load = np.zeros(units, dtype=np.int64)
    for b in range(blocks):
        first, last = b * per_block, min(count, (b + 1) * per_block)
        for n in range(len(inputs)):
            total = 0
            for c in range(chunks):
                load[:] = 0
                longest = minimum
                for f in range(first, last):
                    matches = np.int64(0)
                    for w in range(words):
                        matches += ones(filters[f, c, w] & inputs[n, c, w])
                    load[unit[c, f]] += matches
                    longest = max(longest, load[unit[c, f]])
                total += longest
            out[b, n] = total
    return out


@kernel
def step_entries(mask: NDArray[np.bool_], window: int, longest: int) -> IntArray:
    """(m, windows) stored entries of each row in each window of k, zeros for too long distances included.

    An entry is found ``longest`` positions behind the one before it at most; one that lies further takes
    stored zeros on the way. The first distance of a row counts from its start.
    """
    m, k = mask.shape
    out = np.zeros((m, (k + window - 1) // window), dtype=np.int64)
    for o in range(m):
        before = -1
        for j in range(k):
            if mask[o, j]:
                out[o, j // window] += 1
                for at in range(before + longest, j, longest):
                    out[o, at // window] += 1
                before = j
    return out
