"""The best format of each layer on a machine, and the sparsity from which on it pays."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simsparse.errors import SimsparseError
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Workload
from simsparse.layer_run import AUTO
from simsparse.load.activations_npz import Given
from simsparse.load.calibration_npz import load_calibration
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.plan_yaml import ModelPlan
from simsparse.model_run import run_layers, run_together
from simsparse.pattern import Pattern, parse_pattern
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.input_masks import InputMask
from simsparse.pruning.prune import prune
from simsparse.pruning.pruned import Pruned
from simsparse.results import LayerResult, Run
from simsparse.simulate import finished_run, model_run, simulate, with_activations
from simsparse.sweep.crossover import LEAST, MOST, WIDTH, family

DEFAULT_PATTERN = "unstructured:0.9"
"""What is asked about where neither the user nor the model's own zeros say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one layer gets, beside the same layer dense."""

    name: str
    m: int
    k: int
    n: int
    count: int
    weight_density: float
    format: str
    time_s: float
    baseline_time_s: float
    energy_j: float
    baseline_energy_j: float
    best_sparse: str
    """The fastest format other than dense; empty where none can hold or run the layer."""
    pays_from: float | None = None
    """Sparsity from which on ``best_sparse`` is no slower than dense; None where that was not found."""

    @property
    def speedup(self) -> float:
        """Against the layer's dense execution."""
        return self.baseline_time_s / self.time_s if self.time_s else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The run with the best format everywhere, each layer's choice, and the plan that repeats it."""

    run: Run
    layers: tuple[Choice, ...]
    plan: ModelPlan


def recommend(
    model: str | Workload,
    *,
    on: str | HardwareModel,
    prune: str | None = None,
    criterion: str = "magnitude",
    allocation: str = "uniform",
    skip: Sequence[str] = (),
    dtype: str | None = None,
    batch: int | None = None,
    seq: int | None = None,
    columns: int | None = None,
    phase: str | None = None,
    activation_density: float | None = None,
    activations: Given | None = None,
    calibration: str | Path | Calibration | None = None,
    seed: int = 0,
    crossover: bool = True,
) -> Recommendation:
    """The fastest format of each layer; see `simsparse.simulate` for the parameters.

    Without a pattern the zeros of the model's own weights count, and without weights of its own
    ``unstructured:0.9``. With ``crossover`` the sparsity from which on a layer's best sparse format pays is
    found by bisection to one per cent, for patterns that have a number.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    UnsupportedError
        If nothing in the model can be simulated on the machine.
    """
    workload = model
    if isinstance(workload, str):
        workload = load_model(workload, batch=batch, seq=seq, columns=columns, phase=phase)
    hardware = load_hardware(on) if isinstance(on, str) else on
    text = DEFAULT_PATTERN if prune is None and not workload.weights and allocation in _EVEN else prune
    asked = None if text is None else parse_pattern(text)
    way = _Pruning(criterion, seed, load_calibration(calibration))
    pruned = way.pruned(workload, asked, allocation=allocation, skip=skip)
    if activations is not None:
        pruned = with_activations(pruned, activations)
        way = dataclasses.replace(way, activations=pruned.activations, masks=pruned.input_masks)
    pace = _Pace(hardware, dtype, activation_density)
    run, by_format = pace.all_formats(pruned, allocation, model if isinstance(model, str) else workload.name)
    layers = {layer.name: layer for layer in workload.layers}
    crossings = _Crossings(workload, pace, asked, way) if crossover else None
    choices = []
    for result, dense in zip(run.layers, run.baseline_layers, strict=True):
        if not result.format:
            continue
        best = _best_sparse(result, by_format)
        pays = None
        if crossings is not None and best:
            pays = crossings.of(
                layers[result.name], best, dense.time_s >= by_format[best][result.name].time_s
            )
        choices.append(_choice(result, dense, best, pays))
    plan = ModelPlan(
        model=run.asked_model,
        hardware=hardware.name,
        prune=text,
        criterion=criterion,
        allocation=allocation,
        seed=seed,
        formats={choice.name: choice.format.partition(":")[0] for choice in choices},
        patterns=dict.fromkeys(_left_dense(workload, pruned, skip), "dense")
        if text is not None and skip
        else {},
    )
    return Recommendation(run=run, layers=tuple(choices), plan=plan)


def recommendation_of(
    workload: Workload,
    hardware: HardwareModel,
    plan: ModelPlan,
    *,
    dtype: str | None = None,
    activation_density: float | None = None,
) -> Recommendation:
    """A plan made elsewhere as a recommendation, simulated as a whole; nothing is bisected."""
    run = simulate(workload, on=hardware, plan=plan, dtype=dtype, activation_density=activation_density)
    pairs = zip(run.layers, run.baseline_layers, strict=True)
    choices = tuple(_choice(result, dense, "", None) for result, dense in pairs if result.format)
    return Recommendation(run=run, layers=choices, plan=plan)


_EVEN = ("uniform", "erk", "global")


def _left_dense(workload: Workload, pruned: Pruned, skip: Sequence[str]) -> list[str]:
    from fnmatch import fnmatchcase

    return [
        layer.name
        for layer in workload.layers
        if layer.kind.has_weights
        and layer.name not in pruned.densities
        and any(fnmatchcase(layer.name, glob) for glob in skip)
    ]


@dataclass(frozen=True, slots=True)
class _Pruning:
    """How weights are chosen, and what is known of inputs, whatever the pattern."""

    criterion: str
    seed: int
    calibration: Calibration | None
    activations: Mapping[str, float] | None = None
    """Densities of inputs by layer; those that a profile brings where there are none."""
    masks: Mapping[str, InputMask] = field(default_factory=dict)

    def pruned(
        self,
        workload: Workload,
        pattern: Pattern | None,
        *,
        allocation: str = "uniform",
        skip: Sequence[str] = (),
    ) -> Pruned:
        """``workload`` pruned in this way."""
        found = prune(
            workload,
            pattern,
            criterion=self.criterion,
            calibration=self.calibration,
            allocation=allocation,
            seed=self.seed,
            skip=skip,
        )
        if self.activations is None:
            return found
        return dataclasses.replace(found, activations=self.activations, input_masks=self.masks)


@dataclass(frozen=True, slots=True)
class _Pace:
    """One machine with its settings, and how fast things are on it."""

    hardware: HardwareModel
    dtype: str | None
    activation_density: float | None

    def all_formats(
        self, pruned: Pruned, allocation: str, asked: str
    ) -> tuple[Run, Mapping[str, Mapping[str, LayerResult]]]:
        """The run with the best formats, and each layer's result by format."""
        tried = [name for name, support in self.hardware.formats.items() if support.role != "unpack"]
        runs = [
            model_run(
                pruned,
                self.hardware,
                format=name,
                dtype=self.dtype,
                activation_density=self.activation_density,
            )
            for name in (AUTO, *tried)
        ]
        outcomes = run_together(runs)
        best = finished_run(runs[0], outcomes[0], allocation=allocation, asked_model=asked)
        found = {
            name: {result.name: result for result, _ in pairs}
            for name, (pairs, _) in zip(tried, outcomes[1:], strict=True)
        }
        return best, found

    def pays(self, pruned: Pruned, format_: str) -> bool:
        """Whether the one layer of ``pruned`` is no slower in a format than dense."""
        settings = model_run(
            pruned,
            self.hardware,
            format=format_,
            dtype=self.dtype,
            activation_density=self.activation_density,
        )
        pairs, _ = run_layers(settings)
        if not pairs:
            return False
        sparse, dense = pairs[0]
        return sparse.format.partition(":")[0] == format_ and sparse.time_s <= dense.time_s


class _Crossings:
    """From which sparsity on layers pay; layers of equal shape with seeded weights share the answer."""

    def __init__(self, workload: Workload, pace: _Pace, pattern: Pattern | None, way: _Pruning) -> None:
        self._workload, self._pace, self._way = workload, pace, way
        self._family = None if pattern is None else family(pattern)
        self._known: dict[Hashable, float | None] = {}

    def of(self, layer: Layer, format_: str, pays: bool) -> float | None:
        """The sparsity for a layer in a format, knowing whether the pattern asked for pays."""
        if self._family is None:
            return None
        way = self._way
        own = layer.name in self._workload.weights or way.calibration is not None or bool(way.activations)
        key = (layer.name if own else dataclasses.replace(layer, name=""), format_, pays)
        if key not in self._known:
            self._known[key] = self._bisected(layer, format_, pays)
        return self._known[key]

    def _bisected(self, layer: Layer, format_: str, pays: bool) -> float | None:
        _, asked = self._family or ("", 0.0)
        low, high = (LEAST, asked) if pays else (asked, MOST)
        if pays and self._pays(layer, format_, LEAST):
            return LEAST
        if not pays and not self._pays(layer, format_, MOST):
            return None
        while high - low > WIDTH:
            middle = round((low + high) / 2, 4)
            if self._pays(layer, format_, middle):
                high = middle
            else:
                low = middle
        return round((low + high) / 2, 4)

    def _pays(self, layer: Layer, format_: str, sparsity: float) -> bool:
        name, _ = self._family or ("", 0.0)
        alone = dataclasses.replace(self._workload, layers=(layer,), unsupported=())
        try:
            pattern = parse_pattern(f"{name}:{sparsity:g}")
            return self._pace.pays(self._way.pruned(alone, pattern), format_)
        except SimsparseError:
            return False


def _best_sparse(result: LayerResult, by_format: Mapping[str, Mapping[str, LayerResult]]) -> str:
    """The fastest format but dense that really held the layer."""
    times = {
        name: (found[result.name].time_s, found[result.name].energy_j)
        for name, found in by_format.items()
        if name != "dense" and result.name in found and found[result.name].format.partition(":")[0] == name
    }
    return min(times, key=lambda name: times[name]) if times else ""


def _choice(result: LayerResult, dense: LayerResult, best: str, pays: float | None) -> Choice:
    return Choice(
        name=result.name,
        m=result.m,
        k=result.k,
        n=result.n,
        count=result.count,
        weight_density=result.weight_density,
        format=result.format,
        time_s=result.time_s,
        baseline_time_s=dense.time_s,
        energy_j=result.energy_j,
        baseline_energy_j=dense.energy_j,
        best_sparse=best,
        pays_from=pays,
    )
