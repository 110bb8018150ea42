"""The points that nothing beats: better in one figure means worse in another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the rows of ``costs`` (points, objectives) that no other row dominates, smaller is better.

    A row dominates another if it is nowhere larger and somewhere smaller; equal rows all stay.

    >>> front([[1, 3], [2, 2], [3, 3], [3, 1]])
    [0, 1, 3]
    """
    if not costs:
        return []
    table: NDArray[np.float64] = np.asarray(costs, dtype=np.float64).reshape(len(costs), -1)
    order = np.lexsort(table.T[::-1])  # a row is dominated by earlier ones only
    kept: list[int] = []
    for index in order:
        row = table[index]
        rivals = table[kept]
        if not np.any(np.all(rivals <= row, axis=1) & np.any(rivals < row, axis=1)):
            kept.append(int(index))
    return sorted(kept)
