"""Which pattern each layer gets, so that a budget of time, energy or memory is met and most is kept.

A layer's cost and its kept magnitude do not depend on what other layers get, so they are tabulated once.
The choice is then a knapsack: a price on the budgeted figure gives a first solution, and Optuna looks for
better ones from there. Kept magnitude stands for accuracy: the share of Σ|w| that pruning leaves in a layer,
averaged over layers by their number of weights. It is a proxy; train or evaluate the model to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import RequirementError, UsageError
from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.layer_run import AUTO
from simsparse.load.plan_yaml import ModelPlan
from simsparse.model_run import DenseResults, run_layers
from simsparse.pattern import Dense, parse_pattern
from simsparse.pruning.prune import prune
from simsparse.pruning.pruned import Pruned
from simsparse.results import LayerResult
from simsparse.simulate import model_run

FIGURES: Mapping[str, Callable[[LayerResult], float]] = {
    "time_s": lambda result: result.time_s,
    "energy_j": lambda result: result.energy_j,
    "stored_bytes": lambda result: result.cost.stored_bytes,
}
"""What a budget may be about."""
_PRICE_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A figure of the whole run and the most it may be."""

    figure: str
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What each layer may get: cost and kept magnitude, (layers, patterns); infinite cost where it cannot."""

    layers: tuple[str, ...]
    patterns: tuple[str, ...]
    cost: NDArray[np.float64]
    kept: NDArray[np.float64]
    fixed: float
    """Cost of everything that has no choice."""
    formats: Mapping[tuple[str, str], str]
    """Best format by layer and pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A choice of patterns, what it costs and keeps, and how far apart the first solution was."""

    plan: ModelPlan
    cost: float
    kept: float
    kept_first: float
    """Kept magnitude of the solution before the search."""


def tabulate(
    workload: Workload,
    hardware: HardwareModel,
    patterns: Sequence[str],
    budget: Budget,
    *,
    criterion: str = "magnitude",
    dtype: str | None = None,
    activation_density: float | None = None,
    seed: int = 0,
) -> Options:
    """Cost and kept magnitude of every layer with weights in every pattern, in its best format."""
    names = [layer.name for layer in workload.layers if layer.kind.has_weights]
    shape = (len(names), len(patterns))
    cost, kept = np.full(shape, np.inf), np.ones(shape)
    fixed, formats = 0.0, {}
    shared: DenseResults = {}
    figure = FIGURES[budget.figure]
    for column, text in enumerate(patterns):
        pattern = parse_pattern(text)
        pruned = prune(
            workload, None if isinstance(pattern, Dense) else pattern, criterion=criterion, seed=seed
        )
        settings = model_run(
            pruned, hardware, format=AUTO, dtype=dtype, activation_density=activation_density, dense=shared
        )
        pairs, _ = run_layers(settings)
        results = {result.name: result for result, _ in pairs}
        fixed = sum(figure(result) * result.count for result in results.values() if not result.format)
        for row, name in enumerate(names):
            if name in results:
                cost[row, column] = figure(results[name]) * results[name].count
                kept[row, column] = _kept(pruned, workload, name)
                formats[name, text] = results[name].format.partition(":")[0]
    able = np.isfinite(cost).any(axis=1)
    return Options(
        layers=tuple(name for name, fits in zip(names, able, strict=True) if fits),
        patterns=tuple(patterns),
        cost=cost[able],
        kept=kept[able],
        fixed=fixed,
        formats=formats,
    )


def search(options: Options, workload: Workload, budget: Budget, *, trials: int, seed: int = 0) -> Found:
    """The patterns that keep most within the budget.

    Raises
    ------
    RequirementError
        If no choice meets the budget.
    UsageError
        If Optuna is not installed.
    """
    weights = np.array(
        [
            layer.weight_elements * layer.count
            for layer in workload.layers
            if layer.name in set(options.layers)
        ],
        float,
    )
    first = _priced(options, weights, budget.most - options.fixed)
    if first is None:
        least = options.fixed + float(options.cost.min(axis=1).sum())
        raise RequirementError(
            f"--budget: expected {budget.figure} <= {budget.most:g}, got {least:g} at best"
            " (allow sparser patterns with --prune, or another budget)"
        )
    best = _searched(options, weights, budget.most - options.fixed, first, trials, seed) if trials else first
    rows = np.arange(len(best))
    share = weights / weights.sum()
    return Found(
        plan=_plan(options, best),
        cost=options.fixed + float(options.cost[rows, best].sum()),
        kept=float(share @ options.kept[rows, best]),
        kept_first=float(share @ options.kept[rows, first]),
    )


Choice = NDArray[np.int64]


def _priced(options: Options, weights: NDArray[np.float64], most: float) -> Choice | None:
    """The choice under the lowest price on the budgeted figure that meets the budget (Lagrange's).

    Source: Everett, Generalized Lagrange multiplier method, Operations Research 11 (1963).
    """
    if options.cost.min(axis=1).sum() > most:
        return None
    gain = options.kept * (weights / weights.sum())[:, None]
    unit = float(options.cost[np.isfinite(options.cost)].mean()) or 1.0

    def chosen(price: float) -> Choice:
        value = np.where(np.isfinite(options.cost), gain - price * options.cost / unit, -np.inf)
        found: Choice = np.lexsort((options.cost, -value), axis=1)[:, 0]
        return found

    rows = np.arange(len(gain))
    low, high = 0.0, 1.0
    while options.cost[rows, chosen(high)].sum() > most and high < 1e18:
        low, high = high, high * 4
    for _ in range(_PRICE_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if options.cost[rows, chosen(middle)].sum() <= most else (middle, high)
    best = chosen(high)
    return best if options.cost[rows, best].sum() <= most else options.cost.argmin(axis=1)


def _searched(
    options: Options, weights: NDArray[np.float64], most: float, first: Choice, trials: int, seed: int
) -> Choice:
    optuna = _optuna()
    share, rows = weights / weights.sum(), np.arange(len(first))
    names = [str(row) for row in rows]
    best, most_kept = first, float(share @ options.kept[rows, first])

    def value(trial: Any) -> float:
        nonlocal best, most_kept
        choice = np.array([trial.suggest_int(name, 0, len(options.patterns) - 1) for name in names])
        cost, kept = float(options.cost[rows, choice].sum()), float(share @ options.kept[rows, choice])
        if cost <= most and kept > most_kept:
            best, most_kept = choice, kept
        return kept if cost <= most else kept - 1.0 - min(cost / most, 1e6)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(dict(zip(names, map(int, first), strict=True)))
    study.optimize(value, n_trials=trials)
    return best


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "--search: expected the package optuna, got none (pip install simsparse[search])"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _plan(options: Options, choice: Choice) -> ModelPlan:
    patterns = {
        name: options.patterns[int(column)] for name, column in zip(options.layers, choice, strict=True)
    }
    formats = {name: options.formats[name, text] for name, text in patterns.items()}
    return ModelPlan(prune="dense", formats=formats, patterns=patterns)


def _kept(pruned: Pruned, workload: Workload, name: str) -> float:
    layer = next(layer for layer in workload.layers if layer.name == name)
    weights, mask = pruned.weights_and_mask(layer)
    if mask is None:
        return 1.0
    total = float(np.abs(weights).sum(dtype=np.float64))
    return float(np.abs(weights[mask]).sum(dtype=np.float64)) / total if total else 1.0
