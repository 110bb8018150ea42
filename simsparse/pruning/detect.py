"""Which pattern a mask has: the inverse of pruning, for masks that came with a model.

A structure is reported only if it holds *and* would hold by chance, among masks with as many weights kept,
less than once in a million: a random mask is ``unstructured`` however small it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.kernels.count_mask import widest_group
from simsparse.kernels.mask_scan import has_uniform_tiles, tiled_zeros
from simsparse.kernels.mask_tiles import tile_sums
from simsparse.pattern import NM, VNM, Block, Channel, Dense, Filter, Pattern, Unstructured
from simsparse.pruning.arrays import Mask
from simsparse.pruning.tiles import Tile, tile_of

GROUPS = (2, 4, 8, 16, 32)
BLOCKS = (
    (64, 64),
    (32, 32),
    (16, 16),
    (8, 8),
    (32, 1),
    (1, 32),
    (4, 4),
    (16, 1),
    (1, 16),
    (8, 1),
    (1, 8),
    (2, 2),
    (4, 1),
    (1, 4),
)
VECTORS = (128, 64, 32, 16, 8, 4)
_CHANCE = log(1e-6)
_CLUSTERED = 0.9  # share of zeros in empty tiles, and of kept weights in the others
_FULL = 0.9  # density ÷ (N/M) from which N:M is what the mask was made for
_SMALL_BLOCKS = ((2, 2), (4, 1), (1, 4))
"""Each block that has several rows or columns is made of one of these, and has no fewer stray zeros."""
_SLABS = 16
_FIRST_ROWS = 16  # enough to rule N:M out: the fullest group only gets fuller


def detect_pattern(mask: Mask, *, kernel_positions: int = 1, groups: int = 1) -> Pattern:
    """The most regular pattern that ``mask`` (m, k) has, with its measured sparsity.

    Tried in order: dense, filter, channel, block (largest first), N:M (smallest M first; V:N:M where blocks
    of rows share columns), else unstructured. Blocks may hold a few zeros of their own: 90 % of all zeros
    must lie in empty blocks and 90 % of the weights in the others be kept.

    Parameters
    ----------
    kernel_positions, groups
        Kernel height × width, and convolution groups, for ``Channel``.

    Raises
    ------
    ShapeError
        If ``mask`` has not two axes.
    PatternError
        If kernel positions or groups do not divide the matrix.

    >>> str(detect_pattern(np.tile([[True, False, False, True]], (8, 4))))
    'channel:0.5'
    """
    if mask.ndim != 2:
        raise ShapeError(f"mask: expected a matrix (m, k), got shape {mask.shape}")
    kept = int(np.count_nonzero(mask))
    if kept == mask.size:
        return Dense()
    if kept == 0:
        return Unstructured(1.0)
    rows = tile_of(Filter(0.0), mask.shape)
    channels = tile_of(Channel(0.0), mask.shape, kernel_positions=kernel_positions, groups=groups)
    found: Pattern | None = None
    if (sparsity := _tiled(mask, rows, exact=True)) is not None:
        found = Filter(sparsity)
    elif (sparsity := _tiled(mask, channels, exact=True)) is not None:
        found = Channel(sparsity)
    return found or _block(mask) or _nm(mask) or Unstructured(1.0 - kept / mask.size)


def _block(mask: Mask) -> Block | None:
    kept = int(np.count_nonzero(mask))
    # what 90 % in empty blocks, and 90 % kept in the others, leave room for; the exact test comes after
    room = 1 + int(min((1 - _CLUSTERED) * (mask.size - kept), kept / _CLUSTERED - kept))
    scattered = {block for block in _SMALL_BLOCKS if _has_stray_zeros(mask, block, room)}
    for rows, columns in BLOCKS:
        if rows > mask.shape[0] or columns > mask.shape[1]:
            continue
        if any(rows % r == columns % c == 0 for r, c in scattered):
            continue
        if _has_stray_zeros(mask, (rows, columns), room):
            continue
        sparsity = _tiled(mask, Tile(rows=rows, columns=columns), exact=False)
        if sparsity is not None:
            return Block(rows, columns, sparsity)
    return None


def _has_stray_zeros(mask: Mask, block: tuple[int, int], room: int) -> bool:
    """Whether more than ``room`` zeros are outside empty blocks; slab by slab, to know it early."""
    stray, height = 0, block[0]
    step = -(-mask.shape[0] // (_SLABS * height)) * height
    for top in range(0, mask.shape[0], step):
        slab = mask[top : top + step]
        stray += slab.size - int(np.count_nonzero(slab)) - tiled_zeros(slab.view(np.uint8), *block)
        if stray > room:
            return True
    return False


def _tiled(mask: Mask, tile: Tile, *, exact: bool) -> float | None:
    """Share of tiles that are empty, if the zeros cluster in them and not by chance."""
    smallest = (mask.shape[0] % tile.rows or tile.rows) * (mask.shape[1] % tile.columns or tile.columns)
    if mask.size - int(np.count_nonzero(mask)) < smallest:
        return None
    if exact and not has_uniform_tiles(mask, tile.rows, tile.columns):
        return None
    sums = np.zeros(tile.grid(mask.shape), np.float64)
    tile_sums(mask, tile.rows, tile.columns, sums)
    sizes = np.outer(_extents(mask.shape[0], tile.rows), _extents(mask.shape[1], tile.columns))
    empty = sums == 0
    zeros_in_empty, size, kept = int(sizes[empty].sum()), mask.size, int(sums.sum())
    clustered = zeros_in_empty >= _CLUSTERED * (size - kept) and kept >= _CLUSTERED * (size - zeros_in_empty)
    if not (exact or clustered):
        return None
    n_empty = int(empty.sum())
    by_chance = (
        _log_choose(empty.size, n_empty) + _log_choose(size - zeros_in_empty, kept) - _log_choose(size, kept)
    )
    return n_empty / empty.size if by_chance < _CHANCE else None


def _extents(size: int, step: int) -> NDArray[np.int64]:
    return np.minimum(step, size - np.arange(0, size, step))


def _nm(mask: Mask) -> NM | VNM | None:
    density = np.count_nonzero(mask) / mask.size

    def fits(keep: int, group: int) -> bool:
        return bool(keep < group and density >= _FULL * keep / group)

    for group in (group for group in GROUPS if group <= mask.shape[1]):
        if not fits(widest_group(mask[:_FIRST_ROWS], group), group):
            continue
        keep = widest_group(mask, group)
        by_chance = mask.shape[0] * -(-mask.shape[1] // group) * log(_at_most(keep, group, density))
        if fits(keep, group) and by_chance < _CHANCE:
            return next(_vectors(mask, keep, group), None) or NM(keep, group)
    return None


def _vectors(mask: Mask, keep: int, group: int) -> Iterator[VNM]:
    """V:N:M patterns that hold, the largest V first: V rows share at most 4 columns of each group."""
    if group <= VNM.COLUMNS or keep > VNM.COLUMNS:
        return
    shared = _log_choose(VNM.COLUMNS, keep) - _log_choose(group, keep)
    for rows in (rows for rows in VECTORS if rows <= mask.shape[0]):
        used = np.logical_or.reduceat(mask, range(0, mask.shape[0], rows), axis=0)
        columns = np.add.reduceat(used, range(0, mask.shape[1], group), axis=1, dtype=np.int64)
        by_chance = columns.size * (_log_choose(group, VNM.COLUMNS) + rows * shared)
        if columns.max() <= VNM.COLUMNS and by_chance < _CHANCE:
            yield VNM(rows, keep, group)


def _at_most(keep: int, group: int, density: float) -> float:
    """Chance that at most ``keep`` of ``group`` independent weights of that density are kept."""
    terms = (
        _log_choose(group, i) + i * log(density) + (group - i) * log(1 - density) for i in range(keep + 1)
    )
    return min(1.0, sum(exp(term) for term in terms))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
