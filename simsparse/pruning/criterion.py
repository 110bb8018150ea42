"""What a criterion is: a saliency for each weight, and how the choice is made from it.

The seam for others: a `Criterion` is a name, a line for people and one function
``score(layer, weights, seed)`` that gives float scores ``(m, k)``, not negative, larger is kept longer.
``weights`` is a function, so a criterion that needs none costs none; an array it gives may be overwritten if
it is writeable, and is read-only where others still need it. What a criterion needs beyond weights it closes
over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import Layer
from simsparse.pattern import Pattern
from simsparse.pruning.arrays import Mask, Scores

Weights = Callable[[], NDArray[Any]]
Repair = Callable[[Layer, NDArray[np.float32], Pattern, float], tuple[NDArray[np.float32], Mask]]
"""From a layer, its weights (m, k), a pattern and a sparsity: what the weights become, and those kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A saliency; ``score(layer, weights, seed)`` gives non-negative scores ``(m, k)``.

    With ``per_row`` single weights compete within their row of W only, each row losing the same share. A
    criterion with ``repair`` also changes the weights that stay, which takes the place of choosing by score.
    With ``own_masks`` the mask of these layers is given and takes the place of a pattern.
    """

    name: str
    about: str
    score: Callable[[Layer, Weights, int], Scores]
    per_row: bool = False
    repair: Repair | None = None
    own_masks: Callable[[Layer], Mask | None] | None = None

    def __str__(self) -> str:
        return self.name
