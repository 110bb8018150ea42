"""One threshold over all layers, with one layer in memory at a time.

The scores of all layers are ranked together without being held together: a first pass counts the upper 16
bits of every score, which finds the bin the threshold lies in; a second counts the lower 16 bits inside that
bin, which gives the threshold exactly. What stays between layers is a histogram each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import Layer
from simsparse.kernels.mask_select import digit_counts
from simsparse.pruning.arrays import Scores
from simsparse.pruning.select import DIGIT_BITS, as_keys, checked_scores, kept_count, walk_down
from simsparse.pruning.tiles import Tile, tile_scores

Counts = NDArray[np.int64]


def global_threshold(
    layers: Sequence[Layer], density: float, tiles: Mapping[str, Tile], score: Callable[[Layer], Scores]
) -> dict[str, float]:
    """Density of each layer when the tiles of largest mean score over all layers are kept.

    Each tile weighs its size × the layer's count; a shorter tile at the edge weighs as a whole one. The
    budget is ``density`` of the total; equal scores at the threshold go to earlier layers. ``score(layer)``
    gives scores ``(m, k)`` and is called twice for each layer.
    """
    grids = {layer.name: tiles[layer.name].grid((layer.m, layer.k)) for layer in layers}
    total = np.array([rows * columns for rows, columns in grids.values()], np.int64)
    cost = np.array([tiles[la.name].rows * tiles[la.name].columns * la.count for la in layers], np.int64)
    budget = kept_count(density, int(total @ cost))
    if budget <= 0 or budget >= int(total @ cost):
        return dict.fromkeys(grids, float(budget > 0))

    def count_digits(shift: int, prefix: int) -> Counts:
        counts = np.zeros((len(layers), 1 << DIGIT_BITS), np.int64)
        for row, layer in zip(counts, layers, strict=True):
            digit_counts(_keys(score(layer), tiles[layer.name], layer.name), shift, prefix, row)
        return counts

    upper, kept, left = _cut(count_digits(DIGIT_BITS, 0), cost, budget)
    lower_counts = count_digits(0, upper)
    lower, kept_inside, left = _cut(lower_counts, cost, left)
    kept += kept_inside
    for index, tied in enumerate(lower_counts[:, lower]):
        take = min(int(tied), max(0, round(left / int(cost[index]))))
        kept[index] += take
        left -= take * int(cost[index])
    return {name: int(kept[i]) / int(total[i]) for i, name in enumerate(grids)}


def _keys(scores: Scores, tile: Tile, name: str) -> NDArray[np.unsignedinteger]:
    means = tile_scores(checked_scores(scores, f"layer {name}"), tile)
    return as_keys(means.astype(np.float32, copy=False))


def _cut(counts: Counts, cost: Counts, budget: int) -> tuple[int, Counts, int]:
    """The digit at which ``budget`` runs out, what each layer keeps above it, and what is left inside."""
    digit, above = walk_down(cost @ counts, budget)
    return digit, counts[:, digit + 1 :].sum(axis=1), budget - above
