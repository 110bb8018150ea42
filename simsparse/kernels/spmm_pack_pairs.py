"""Sorting stored weights into blocks of pairs of rows: lengths first, so that pairs can be ordered.

``cuts`` (m, blocks + 1) are the places where each row's blocks of K start and end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def match_rows(counts: NDArray[np.int64], window: int, mates: NDArray[np.int32]) -> None:
    """Rows in order of ``counts`` (m, blocks), per block and run of ``window`` rows: neighbours are mates.

    ``mates`` (blocks, m or one more): an odd last row is its own.
    """
    m, blocks = counts.shape
    for block in range(blocks):
        order = mates[block]
        for row in range(m):
            at = row
            while at % window > 0 and counts[order[at - 1], block] > counts[row, block]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = row
        for at in range(m, order.size):
            order[at] = order[m - 1]


@kernel
def shared_by(columns: NDArray[np.int32], a: int, a_end: int, b: int, b_end: int) -> int:
    """How many columns two rising runs have in common."""
    found = 0
    while a < a_end and b < b_end:
        one, other = columns[a], columns[b]
        found += one == other
        a += one <= other
        b += other <= one
    return found


@kernel
def pair_lengths(
    columns: NDArray[np.int32],
    cuts: NDArray[np.int64],
    mates: NDArray[np.int32],
    lengths: NDArray[np.int64],
) -> None:
    """``lengths`` (blocks, pairs, 4): columns of both, turns of two columns of each, and what each has left.

    If that leaves a column of each, one of both counts as each row's own and makes a turn of them.
    """
    for block in range(lengths.shape[0]):
        for pair in range(lengths.shape[1]):
            one, other = mates[block, 2 * pair], mates[block, 2 * pair + 1]
            a, b = cuts[one, block], cuts[other, block]
            a_end, b_end = cuts[one, block + 1], cuts[other, block + 1]
            if one == other:
                b = b_end
            shared = shared_by(columns, a, a_end, b, b_end)
            if (min(a_end - a, b_end - b) - shared) % 2 == 1 and shared > 0:
                shared -= 1
            turns = (min(a_end - a, b_end - b) - shared) // 2
            found = lengths[block, pair]
            found[0], found[1] = shared, turns
            found[2], found[3] = a_end - a - shared - 2 * turns, b_end - b - shared - 2 * turns


@kernel
def fill_pairs(
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    cuts: NDArray[np.int64],
    block_of: NDArray[np.int64],
    rows: NDArray[np.int32],
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    k_block: int,
    local_columns: NDArray[np.uint16],
    packed: NDArray[np.float32],
) -> None:
    """Copy the weights of each visited pair; ``starts`` (visits, 2) are the places of columns and values."""
    place, value_place = np.empty(4, np.int64), np.empty(4, np.int64)
    for visit in range(rows.shape[0]):
        block, one, other = block_of[visit], rows[visit, 0], rows[visit, 1]
        shared, turns, rest, _ = lengths[visit]
        a, a_end, b, b_end = (
            cuts[one, block],
            cuts[one, block + 1],
            cuts[other, block],
            cuts[other, block + 1],
        )
        if one == other:
            b = b_end
        at, value_at = starts[visit]
        place[0], value_place[0] = at + shared, value_at + 2 * shared
        place[1], value_place[1] = place[0] + 1, value_place[0] + 1
        place[2], value_place[2] = place[0] + 4 * turns, value_place[0] + 4 * turns
        place[3], value_place[3] = place[2] + rest, value_place[2] + rest
        own = np.zeros(2, np.int64)
        both = 0
        while a < a_end or b < b_end:
            takes_a = b >= b_end or (a < a_end and columns[a] <= columns[b])
            if takes_a and b < b_end and columns[a] == columns[b] and both < shared:
                local_columns[at + both] = columns[a] - block * k_block
                packed[value_at + 2 * both], packed[value_at + 2 * both + 1] = values[a], values[b]
                both += 1
                a += 1
                b += 1
                continue
            row = 0 if takes_a else 1
            source = a if takes_a else b
            step = 2 if own[row] < 2 * turns else 1
            to = row if step == 2 else 2 + row
            local_columns[place[to]] = columns[source] - block * k_block
            packed[value_place[to]] = values[source]
            place[to] += step
            value_place[to] += step
            own[row] += 1
            a += takes_a
            b += not takes_a
