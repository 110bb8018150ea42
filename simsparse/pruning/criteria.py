"""Which weights go first: a criterion gives each weight a saliency, and the smallest are removed.

The seam for others: a `Criterion` is a name, a line for people and one function
``score(layer, weights, seed)`` that gives float32 scores ``(m, k)``, not negative, larger is kept longer.
``weights`` is a function, so a criterion that needs none costs none; an array it gives may be overwritten if
it is writeable, and is read-only where others still need it. What a criterion needs beyond weights it closes
over: first-order Taylor |w·g| holds gradients by layer name, OBD holds the diagonal of the Hessian, Wanda
|w|·‖x‖ the norms of the inputs; such a function returns a `Criterion`, which `simsparse.pruning.prune.prune`
takes as it is. One that needs no data is entered in ``CRITERIA`` and so gets a name on the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UnknownNameError
from simsparse.ir import Layer
from simsparse.pruning.arrays import Scores
from simsparse.pruning.weights import layer_generator

Weights = Callable[[], NDArray[Any]]
_RANDOM_STREAM = 1  # keeps random scores independent of the weights drawn from the same seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A saliency; ``score(layer, weights, seed)`` gives non-negative float32 scores ``(m, k)``."""

    name: str
    about: str
    score: Callable[[Layer, Weights, int], Scores]

    def __str__(self) -> str:
        return self.name


def _magnitude(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
    values = weights().astype(np.float32, copy=False)
    return np.abs(values, out=values if values.flags.writeable else None)


def _random(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
    return layer_generator(layer, seed, _RANDOM_STREAM).random((layer.m, layer.k), dtype=np.float32)


MAGNITUDE = Criterion(name="magnitude", about="|w|: the smallest weights go", score=_magnitude)
RANDOM = Criterion(name="random", about="a seeded draw: all weights are equal", score=_random)
CRITERIA = {criterion.name: criterion for criterion in (MAGNITUDE, RANDOM)}


def find_criterion(criterion: str | Criterion) -> Criterion:
    """The criterion of that name; a `Criterion` passes through.

    Raises
    ------
    UnknownNameError
        If there is none of that name.

    >>> find_criterion("magnitude").about
    '|w|: the smallest weights go'
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    return CRITERIA[criterion]
