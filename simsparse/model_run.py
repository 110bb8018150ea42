"""All layers of a pruned workload on one machine or on many, each beside its dense baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from zlib import crc32

from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.errors import UnsupportedError
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Unsupported
from simsparse.layer_run import AUTO, LayerRunner, Tried
from simsparse.pattern import Dense, Pattern
from simsparse.pruning.detect import detect_pattern
from simsparse.pruning.pruned import Pruned
from simsparse.results import LayerResult

Pair = tuple[LayerResult, LayerResult]
"""A layer's result and its dense baseline."""
Outcome = tuple[list[Pair], list[Unsupported]]
"""Every layer that the machine can run, and those it cannot with the reason."""
DenseResults = dict[Hashable, tuple[LayerResult, tuple[str, ...]]]
"""Results that no mask changes, with their notes: baselines and layers without a product, by shape."""


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """What to run: a pruned workload on a machine, with which formats and activations."""

    hardware: HardwareModel
    pruned: Pruned
    format: str
    activation_density: float | None
    seed: int
    runner: LayerRunner
    formats: Mapping[str, str] = field(default_factory=dict)
    """Formats of single layers by name, in place of ``format``."""
    detected: dict[str, Pattern] = field(default_factory=dict)
    """Patterns found in the model's own zeros, by layer."""
    dense: DenseResults = field(default_factory=dict)
    """May be shared by runs of the same machine, dtype and engine, whatever the pattern, format and seed."""

    @property
    def captured(self) -> Collection[str]:
        """Layers whose inputs are those that a run showed; none where a density is asked for."""
        return () if self.activation_density is not None else self.pruned.input_masks

    @property
    def setting(self) -> tuple[int, str, str, float | None]:
        """Runs that agree in this differ in formats only, and so share what was tried in each format."""
        return id(self.hardware), self.runner.dtype, self.runner.engine, self.activation_density


def run_layers(settings: ModelRun) -> Outcome:
    """Every layer that the machine can run with its baseline, and those it cannot with the reason."""
    return run_together([settings])[0]


def run_together(runs: Sequence[ModelRun]) -> list[Outcome]:
    """Several runs of one pruned workload, layer by layer: a mask, and what is counted in it, is made once.

    Each outcome equals that of :func:`run_layers`; runs of the same machine are quickest next to each other.
    """
    workload = runs[0].pruned.workload
    outcomes: list[Outcome] = [([], list(workload.unsupported)) for _ in runs]
    total = workload.macs or 1
    for layer in workload.layers:
        operands = _Operands(layer, runs[0].pruned)
        for _, members in groupby(zip(runs, outcomes, strict=True), key=lambda member: member[0].setting):
            step = _Step(operands)  # one machine's plans at a time
            for settings, (pairs, unsupported) in members:
                try:
                    pairs.append(step.run(settings))
                except UnsupportedError as error:
                    share = layer.macs * layer.count / total
                    unsupported.append(Unsupported(name=layer.name, reason=str(error), macs_share=share))
    return outcomes


class _Operands:
    """One layer's weights and activations, each made when first asked for."""

    def __init__(self, layer: Layer, pruned: Pruned) -> None:
        self.layer, self.pruned = layer, pruned
        self.dense = WeightOperand(max(1, layer.m), max(1, layer.k))
        self._inputs: dict[float, ActivationOperand] = {}

    @cached_property
    def weights(self) -> WeightOperand:
        mask = self.pruned.mask(self.layer)
        if mask is None or mask.all():
            return self.dense
        return WeightOperand(self.layer.m, self.layer.k, mask)

    @cached_property
    def found(self) -> Pattern | None:
        """The pattern in the zeros that the model brought; None where one was asked for."""
        if not isinstance(self.pruned.pattern_of(self.layer), Dense) or self.weights.mask is None:
            return None
        conv = self.layer.conv
        positions = conv.kernel_height * conv.kernel_width if conv else 1
        return detect_pattern(self.weights.mask, kernel_positions=positions, groups=self.layer.groups)

    def inputs(self, density: float | None) -> ActivationOperand:
        """Those captured, unless a ``density`` is asked for, or seeded ones."""
        if density is None and self.layer.name in self.pruned.input_masks:
            return self._captured
        if density is None:
            density = self.pruned.activation_density(self.layer)
        density = 1.0 if density is None else density
        if density not in self._inputs:
            seed = self.pruned.seed ^ crc32(self.layer.name.encode())
            self._inputs[density] = ActivationOperand(self.layer, density=density, seed=seed)
        return self._inputs[density]

    @cached_property
    def _captured(self) -> ActivationOperand:
        mask = self.pruned.input_masks[self.layer.name]
        return ActivationOperand(self.layer, tensor=mask.operand(self.layer))


class _Step:
    """One layer on one machine; what was tried in a format stays known from run to run."""

    def __init__(self, operands: _Operands) -> None:
        self._operands = operands
        self._dense: Tried = {}
        self._sparse: Tried = {}

    def run(self, settings: ModelRun) -> Pair:
        layer, runner = self._operands.layer, settings.runner
        if not layer.kind.is_product:
            if runner.observe is not None:
                result = runner.vector(layer)
            else:
                result = _once(layer, settings, None, lambda apart: apart.vector(layer))
            return result, result
        inputs = self._operands.inputs(settings.activation_density)
        sparse = self._product(settings, inputs)
        drawn = None if inputs.is_dense else self._drawn(settings, inputs.density)
        return sparse, _once(layer, settings, drawn, lambda apart: self._baseline(apart, inputs))

    def _drawn(self, settings: ModelRun, density: float) -> Hashable:
        """What tells inputs with zeros from others of the same shape."""
        name = self._operands.layer.name
        if name in settings.captured:
            return settings.pruned.input_masks[name].digest
        return name, settings.seed, density

    def _product(self, settings: ModelRun, inputs: ActivationOperand) -> LayerResult:
        """In the named format, or dense where it cannot hold or run this layer, which is then said."""
        layer, runner, weights = self._operands.layer, settings.runner, self._operands.weights
        pattern = self._pattern(settings)
        chosen = settings.formats.get(layer.name, settings.format)
        tried = self._dense if weights is self._operands.dense else self._sparse
        try:
            names = runner.candidates(chosen, weights)
            return runner.product(layer, weights, inputs, names, pattern, tried=tried)
        except UnsupportedError as error:
            if chosen in (AUTO, "dense") or "dense" not in settings.hardware.formats:
                raise
            runner.notes[f"layers that {chosen} cannot hold or run are dense ({error})"] = None
            return runner.product(layer, weights, inputs, ("dense",), pattern, tried=tried)

    def _pattern(self, settings: ModelRun) -> Pattern:
        found = self._operands.found
        if found is None:
            return self._operands.pruned.pattern_of(self._operands.layer)
        settings.detected[self._operands.layer.name] = found
        return found

    def _baseline(self, runner: LayerRunner, inputs: ActivationOperand) -> LayerResult:
        layer, dense = self._operands.layer, self._operands.dense
        names = runner.candidates(AUTO, dense)
        try:
            return runner.product(layer, dense, inputs, names, Dense(), tried=self._dense)
        except UnsupportedError:
            result = runner.product(layer, dense, inputs, names, Dense(), ignore_capacity=True)
            runner.notes["dense weights that do not fit on chip are timed as if they did"] = None
            return result


def _once(
    layer: Layer, settings: ModelRun, drawn: Hashable, run: Callable[[LayerRunner], LayerResult]
) -> LayerResult:
    """A result that depends on the layer's shape and on the ``drawn`` inputs only, computed once."""
    key = (dataclasses.replace(layer, name=""), drawn)
    if key not in settings.dense:
        apart = dataclasses.replace(settings.runner, notes={})
        settings.dense[key] = run(apart), tuple(apart.notes)
    result, notes = settings.dense[key]
    settings.runner.notes.update(dict.fromkeys(notes))
    return dataclasses.replace(result, name=layer.name)
