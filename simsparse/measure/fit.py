"""Fitting positive constants to measured times: Levenberg-Marquardt on the logarithm of their ratio.

A constant is a place in the parameters, ``csr.per_weight.3``, with the value expected from instruction counts
and how many times it may be off (as the standard deviation of its logarithm). Large errors count linearly
(Huber), so that a few disturbed timings do not bend the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simsparse.hardware import CpuRowsParameters
from simsparse.plan import FloatArray

_NOISE = 0.04
"""Scatter of a good timing, as a logarithm: priors weigh against it."""
_HUBER = 2.5
"""Times the scatter from which an error counts linearly."""
_STEP = 0.02
_ROUNDS = 25
_CONVERGED = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One number to fit."""

    path: str
    spread: float
    """Standard deviation of the logarithm of what it is beside its prior value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Parameters after a fit, and the logarithm of predicted over measured for each timing."""

    parameters: CpuRowsParameters
    errors: FloatArray


Predict = Callable[[CpuRowsParameters], FloatArray]


def fit(
    start: CpuRowsParameters, constants: Sequence[Constant], predict: Predict, measured_s: FloatArray
) -> Fitted:
    """The constants that make ``predict`` (seconds per timing) meet the measured times best."""
    names = [constant.path for constant in constants]
    prior: FloatArray = np.log(np.array([max(1e-9, get(start, name)) for name in names]))
    spread = np.array([constant.spread for constant in constants])

    def errors(point: FloatArray) -> FloatArray:
        return np.log(predict(with_values(start, names, np.exp(point))) / measured_s)

    def loss(error: FloatArray, point: FloatArray) -> float:
        scaled = np.abs(error) / _NOISE
        data = np.where(scaled <= _HUBER, scaled**2, _HUBER * (2 * scaled - _HUBER))
        return float(data.sum() + (((point - prior) / spread) ** 2).sum())

    point: FloatArray = prior
    damping = 1.0
    error = errors(point)
    best = loss(error, point)
    for _ in range(_ROUNDS):
        slopes = np.column_stack([errors(point + shift) - error for shift in _STEP * np.eye(len(point))])
        step = _step(slopes / _STEP, error, (point - prior) / spread**2, spread, damping)
        tried: FloatArray = errors(point + step)
        now = loss(tried, point + step)
        if now >= best:
            damping *= 4
            if damping > 1e6:
                break
            continue
        gain, best, error, damping = best - now, now, tried, damping / 3
        point = np.asarray(point + step, dtype=np.float64)
        if gain < _CONVERGED * best:
            break
    return Fitted(parameters=with_values(start, names, np.exp(point)), errors=error)


def _step(
    slopes: FloatArray, error: FloatArray, pull: FloatArray, spread: FloatArray, damping: float
) -> FloatArray:
    """One damped step of the weighted least squares; ``pull`` is the slope of the priors."""
    weight = np.minimum(1.0, _HUBER * _NOISE / np.maximum(np.abs(error), 1e-12)) / _NOISE**2
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
