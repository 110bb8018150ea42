"""Most patterns remove whole tiles of W: a block, a filter, a channel or a head is a rectangle that repeats.

========================  ==============================  ===============================================
pattern                   tile rows                       tile columns
========================  ==============================  ===============================================
``unstructured``          1                               1
``block:RxC``             R                               C
``filter``                1                               k
``channel``               m / groups                      kernel positions
``head``, heads along m   m / heads                       k
``head``, heads along k   m                               k / heads
========================  ==============================  ===============================================

The rows of one group of a grouped convolution meet inputs of their own, so its input channel (of which it has
groups × k / kernel positions) is the kernel positions of that channel in the rows of that group only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import PatternError
from simsparse.kernels.mask_tiles import tile_sums
from simsparse.pattern import Block, Channel, Filter, Head, Unstructured
from simsparse.pruning.arrays import Mask, Scores

TilePattern = Unstructured | Block | Channel | Filter | Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A rectangle of ``rows`` output channels by ``columns`` positions along k."""

    rows: int
    columns: int

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """How many tiles cover a matrix of ``shape``, by rows and columns."""
        return -(-shape[0] // self.rows), -(-shape[1] // self.columns)


def tile_of(
    pattern: TilePattern,
    shape: tuple[int, ...],
    *,
    heads: int = 0,
    head_axis: str = "m",
    kernel_positions: int = 1,
    groups: int = 1,
    name: str = "weights",
) -> Tile:
    """The tile that ``pattern`` removes from a matrix of ``shape`` (m, k).

    Raises
    ------
    PatternError
        If heads, groups or kernel positions do not divide the matrix, or there are no heads.
    """
    m, k = shape
    match pattern:
        case Unstructured():
            return Tile(rows=1, columns=1)
        case Block(rows=rows, columns=columns):
            return Tile(rows=rows, columns=columns)
        case Filter():
            return Tile(rows=1, columns=max(k, 1))
        case Channel():
            _check_divides("groups", groups, "m", m, f"{name}: {pattern}")
            _check_divides("kernel positions", kernel_positions, "k", k, f"{name}: {pattern}")
            return Tile(rows=max(m // groups, 1), columns=kernel_positions)
        case Head():
            along_m = head_axis == "m"
            _check_divides("heads", heads, head_axis, m if along_m else k, f"{name}: {pattern}")
            if along_m:
                return Tile(rows=max(m // heads, 1), columns=max(k, 1))
            return Tile(rows=max(m, 1), columns=max(k // heads, 1))


def _check_divides(what: str, parts: int, axis: str, size: int, where: str) -> None:
    if parts < 1 or size % parts:
        raise PatternError(f"{where}: expected {what} >= 1 that divide {axis}={size}, got {parts}")


def tile_scores(scores: Scores, tile: Tile) -> Scores:
    """Summed score of each tile ÷ the size of a whole tile, in float64; of single weights the scores.

    A shorter tile at the edge counts with its sum like the others: removing it loses that much.
    """
    if tile.rows == tile.columns == 1:
        return scores
    sums = np.zeros(tile.grid(scores.shape), np.float64)
    tile_sums(scores, tile.rows, tile.columns, sums)
    sums /= tile.rows * tile.columns
    return sums


def expand(kept: Mask, tile: Tile, shape: tuple[int, ...]) -> Mask:
    """The mask of ``shape`` whose tiles are ``kept``."""
    if tile.rows == tile.columns == 1:
        return kept
    columns: NDArray[Any] = np.arange(shape[1]) // tile.columns
    rows: NDArray[Any] = np.arange(shape[0]) // tile.rows
    # columns first: the second take then copies whole rows
    mask: Mask = kept[:, columns][rows]
    return mask
