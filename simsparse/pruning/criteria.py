"""The criteria by name: those that look at weights alone, and those that need calibration data."""

from __future__ import annotations

import numpy as np

from simsparse.errors import UnknownNameError, UsageError
from simsparse.ir import Layer
from simsparse.pruning.arrays import Scores
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.criterion import Criterion, Weights
from simsparse.pruning.data_criteria import DATA_CRITERIA
from simsparse.pruning.weights import layer_generator

_RANDOM_STREAM = 1  # keeps random scores independent of the weights drawn from the same seed


def _magnitude(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
    values = weights().astype(np.float32, copy=False)
    return np.abs(values, out=values if values.flags.writeable else None)


def _random(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
    return layer_generator(layer, seed, _RANDOM_STREAM).random((layer.m, layer.k), dtype=np.float32)


MAGNITUDE = Criterion(name="magnitude", about="|w|: the smallest weights go", score=_magnitude)
RANDOM = Criterion(name="random", about="a seeded draw: all weights are equal", score=_random)
CRITERIA = {criterion.name: criterion for criterion in (MAGNITUDE, RANDOM)}


def criteria() -> dict[str, str]:
    """Every criterion's name, and a line about it."""
    with_data = {name: f"{criterion.about} (--calibration)" for name, criterion in DATA_CRITERIA.items()}
    return {name: criterion.about for name, criterion in CRITERIA.items()} | with_data


def find_criterion(criterion: str | Criterion, data: Calibration | None = None) -> Criterion:
    """The criterion of that name, looking at ``data`` if it needs any; a `Criterion` passes through.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    UsageError
        If it needs data and there are none, or the other way round.

    >>> find_criterion("magnitude").about
    '|w|: the smallest weights go'
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion in DATA_CRITERIA:
        if data is None:
            raise UsageError(
                f"criterion {criterion}: expected calibration data, got none (--calibration FILE.npz;"
                " simsparse measure --capture FILE.npz records one)"
            )
        return DATA_CRITERIA[criterion].with_data(data)
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, criteria())
    if data is not None:
        raise UsageError(
            "calibration: expected a criterion that looks at data"
            f" ({', '.join(DATA_CRITERIA)}), got {criterion}"
        )
    return CRITERIA[criterion]
