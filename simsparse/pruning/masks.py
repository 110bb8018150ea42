"""Pattern × scores → mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import PatternError, ShapeError
from simsparse.kernels.mask_groups import n4_mask, nm_mask, vnm_mask
from simsparse.pattern import NM, VNM, Dense, Pattern
from simsparse.pruning.arrays import Mask
from simsparse.pruning.select import checked_scores, kept_count, top_mask
from simsparse.pruning.tiles import expand, tile_of, tile_scores


def prune_matrix(
    scores: NDArray[Any],
    pattern: Pattern,
    *,
    sparsity: float | None = None,
    heads: int = 0,
    head_axis: str = "m",
    kernel_positions: int = 1,
    groups: int = 1,
    name: str = "scores",
) -> Mask:
    """The boolean mask ``(m, k)`` of the weights that ``pattern`` keeps, True where kept.

    Counts are exact and ties go to the lower index, so equal scores give an equal mask:

    - tiles (unstructured, block, filter, channel, head; see `simsparse.pruning.tiles`): the
      ``round((1 - sparsity) * tiles)`` tiles of largest summed score;
    - N:M: N of each M along k; a last group of r < M columns keeps min(N, r);
    - V:N:M: in each block of V rows and group of M the 4 columns of largest summed score, and N of these in
      each row; a last block of rows or group of columns is shorter.

    Parameters
    ----------
    scores
        Saliency of each weight, ``(m, k)``, not negative.
    sparsity
        Share removed, in place of the pattern's own number.
    heads, head_axis
        Attention heads and the axis (``"m"`` or ``"k"``) along which they lie, for ``Head``.
    kernel_positions, groups
        Kernel height × width, and convolution groups, for ``Channel``.
    name
        Whose scores these are, for messages.

    Raises
    ------
    UsageError
        If a score is NaN or negative.
    ShapeError
        If ``scores`` has not two axes.
    PatternError
        If the pattern does not apply to this matrix, or ``sparsity`` is given to a pattern that has none.

    Source for V:N:M: Castro et al., VENOM, SC 2023.

    >>> prune_matrix(np.array([[1.0, 4.0, 2.0, 3.0]]), NM(2, 4))
    array([[False,  True, False,  True]])
    """
    if scores.ndim != 2:
        raise ShapeError(f"{name}: expected a matrix (m, k), got shape {scores.shape}")
    array = checked_scores(scores, name)
    if isinstance(pattern, Dense | NM | VNM):
        if sparsity is not None:
            raise PatternError(
                f"{name}: {pattern}: expected no other sparsity, got {sparsity:g} (the pattern fixes it)"
            )
        return _fixed(array, pattern)
    wanted = pattern.sparsity if sparsity is None else sparsity
    if not 0.0 <= wanted <= 1.0:
        raise PatternError(f"{name}: {pattern}: expected a sparsity from 0 to 1, got {wanted:g}")
    tile = tile_of(
        pattern,
        array.shape,
        heads=heads,
        head_axis=head_axis,
        kernel_positions=kernel_positions,
        groups=groups,
        name=name,
    )
    totals = tile_scores(array, tile)
    return expand(top_mask(totals, kept_count(1.0 - wanted, totals.size)), tile, array.shape)


def prune_rows(scores: NDArray[Any], sparsity: float, *, name: str = "scores") -> Mask:
    """The mask (m, k) that keeps the ``round((1 - sparsity) · k)`` largest scores of each row.

    Ties go to the lower index; errors as in `prune_matrix`.

    >>> prune_rows(np.array([[9.0, 8.0], [1.0, 2.0]]), 0.5)
    array([[ True, False],
           [False,  True]])
    """
    array = checked_scores(scores, name)
    keep = kept_count(1.0 - sparsity, array.shape[1])
    order = np.argsort(-array, axis=1, kind="stable")
    mask = np.zeros(array.shape, np.bool_)
    np.put_along_axis(mask, order[:, :keep], True, axis=1)
    return mask


def _fixed(scores: NDArray[Any], pattern: Dense | NM | VNM) -> Mask:
    match pattern:
        case Dense():
            return np.ones(scores.shape, np.bool_)
        case NM(keep=keep, group=group):
            mask = np.empty(scores.shape, np.bool_)
            if group == 4 and scores.shape[1] % 4 == 0:
                n4_mask(scores, keep, mask)
            else:
                nm_mask(scores, keep, group, mask)
            return mask
        case VNM(rows=rows, keep=keep, group=group):
            mask = np.zeros(scores.shape, np.bool_)
            vnm_mask(scores, rows, VNM.COLUMNS, keep, group, mask)
            return mask
