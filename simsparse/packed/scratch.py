"""Scratch tiles that products borrow for a call.

One pool for all packed weights: the tile that one layer of a network filled is still in the caches when the
next layer fills it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simsparse.packed.arrays import LINE_BYTES, address, aligned


class Tiles(NamedTuple):
    """A tile per thread, ``step`` bytes apart from ``start`` on, in memory that ``room`` holds."""

    start: int
    step: int
    room: NDArray[np.float32]


_free: dict[int, list[Tiles]] = {}
"""By threads; list operations are atomic, so any thread may borrow and give back."""


def borrow(threads: int, floats: int) -> Tiles:
    """Tiles of at least so many floats that no other call uses, contents undefined; ``give_back`` them."""
    try:
        tiles = _free[threads].pop()
    except (KeyError, IndexError):
        tiles = None
    if tiles is not None and tiles.step >= 4 * floats:
        return tiles
    step = -(-4 * floats // LINE_BYTES) * LINE_BYTES + LINE_BYTES  # a line between the tiles of two threads
    room = aligned(threads * step // 4, np.float32)
    return Tiles(address(room), step, room)


def give_back(threads: int, tiles: Tiles) -> None:
    """Let the next call have them."""
    _free.setdefault(threads, []).append(tiles)
