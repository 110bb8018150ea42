"""Fitting positive constants to measured times: Levenberg-Marquardt on the logarithm of their ratio.

A constant is a place in the parameters, ``csr.per_weight.3``, with the value expected and how many times it
may be off (as the standard deviation of its logarithm; three of them are the bound). Each timing counts by
its own scatter: the noisier the data, the more the expected values weigh. Large errors count linearly
(Huber), so that a few disturbed timings do not bend the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.hardware import CpuRowsParameters
from simsparse.plan import FloatArray

BoolArray = NDArray[np.bool_]

SCATTER = 0.04
"""Of a good timing beside a good model, as a logarithm: priors weigh against it."""
_BOUND = 3.0
"""Spreads that a constant may end up from its prior value."""
_HUBER = 2.5
"""Times the scatter from which an error counts linearly."""
_STEP = 0.02
_ROUNDS = 25
_TRIES = 8
"""Of a step, each time with more damping."""
_CONVERGED = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One number to fit."""

    path: str
    spread: float
    """Standard deviation of the logarithm of what it is beside its prior value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Parameters after a fit, and for each timing the logarithm of predicted over measured.

    Of a disturbed one only what it is above 0.
    """

    parameters: CpuRowsParameters
    errors: FloatArray


Predict = Callable[[CpuRowsParameters], FloatArray]


def fit(
    start: CpuRowsParameters,
    constants: Sequence[Constant],
    predict: Predict,
    measured_s: FloatArray,
    scatter: FloatArray | float = SCATTER,
    at_most: BoolArray | bool = False,
) -> Fitted:
    """The constants that make ``predict`` (seconds per timing) meet the measured times best.

    ``scatter`` is the standard deviation of each timing's logarithm; times ``at_most`` were disturbed and
    only say that the truth is not longer.
    """
    names = [constant.path for constant in constants]
    prior: FloatArray = np.log(np.array([max(1e-9, get(start, name)) for name in names]))
    spread = np.array([constant.spread for constant in constants])
    noise = np.broadcast_to(np.asarray(scatter, dtype=np.float64), measured_s.shape)
    bounds = np.broadcast_to(at_most, measured_s.shape)

    def errors(point: FloatArray) -> FloatArray:
        found: FloatArray = np.log(predict(with_values(start, names, np.exp(point))) / measured_s)
        return np.where(bounds, np.maximum(found, 0.0), found)

    def loss(error: FloatArray, point: FloatArray) -> float:
        scaled = np.abs(error) / noise
        data = np.where(scaled <= _HUBER, scaled**2, _HUBER * (2 * scaled - _HUBER))
        return float(data.sum() + (((point - prior) / spread) ** 2).sum())

    point: FloatArray = prior
    damping = 1.0
    error = errors(point)
    best = loss(error, point)
    for _ in range(_ROUNDS):
        slopes = np.column_stack([errors(point + shift) - error for shift in _STEP * np.eye(len(point))])
        for _ in range(_TRIES):
            step = _step(slopes / _STEP, error, noise, (point - prior) / spread**2, spread, damping)
            there = np.clip(point + step, prior - _BOUND * spread, prior + _BOUND * spread)
            tried: FloatArray = errors(there)
            now = loss(tried, there)
            if now < best:
                break
            damping *= 4
        else:
            break
        gain, best, error, point, damping = best - now, now, tried, there, damping / 3
        if gain < _CONVERGED * best:
            break
    return Fitted(parameters=with_values(start, names, np.exp(point)), errors=error)


def _step(
    slopes: FloatArray,
    error: FloatArray,
    noise: FloatArray,
    pull: FloatArray,
    spread: FloatArray,
    damping: float,
) -> FloatArray:
    """One damped step of the weighted least squares; ``pull`` is the slope of the priors."""
    weight = np.minimum(1.0, _HUBER * noise / np.maximum(np.abs(error), 1e-12)) / noise**2
    normal = (slopes.T * weight) @ slopes + np.diag(1 / spread**2)
    normal += damping * np.diag(np.diag(normal)) * 0.01
    solved = np.linalg.solve(normal, slopes.T @ (weight * error) + pull)
    return np.asarray(np.clip(-solved, -1.0, 1.0), dtype=np.float64)


def get(parameters: CpuRowsParameters, path: str) -> float:
    """The number at a path such as ``csr.per_weight.3``."""
    found: Any = parameters
    for name in path.split("."):
        found = found[int(name)] if name.isdigit() else getattr(found, name)
    return float(found)


def with_values(
    parameters: CpuRowsParameters, paths: Sequence[str], values: Sequence[float] | FloatArray
) -> CpuRowsParameters:
    """The parameters with other numbers at these paths."""
    changes: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        part, *rest = path.split(".")
        changes.setdefault(part, []).append((rest, float(value)))
    return dataclasses.replace(
        parameters, **{part: _changed(getattr(parameters, part), those) for part, those in changes.items()}
    )


def _changed(value: Any, changes: list[tuple[list[str], float]]) -> Any:
    if not changes[0][0]:
        return changes[0][1]
    fields: dict[str, Any] = {}
    for (name, *rest), number in changes:
        old = fields.get(name, getattr(value, name))
        if rest:
            index = int(rest[0])
            fields[name] = (*old[:index], number, *old[index + 1 :])
        else:
            fields[name] = number
    return dataclasses.replace(value, **fields)
