"""All layers of a pruned workload on one machine, each beside its dense baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.errors import UnsupportedError
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Unsupported
from simsparse.layer_run import LayerRunner
from simsparse.pattern import Dense, Pattern
from simsparse.pruning.detect import detect_pattern
from simsparse.pruning.pruned import Pruned
from simsparse.results import LayerResult

AUTO = "auto"
"""The format name that means the fastest the machine reads, layer by layer."""


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """What to run: a pruned workload on a machine, with which formats and activations."""

    hardware: HardwareModel
    pruned: Pruned
    format: str
    activation_density: float | None
    seed: int
    runner: LayerRunner
    detected: dict[str, Pattern] = field(default_factory=dict)
    """Patterns found in the model's own zeros, by layer."""


Pair = tuple[LayerResult, LayerResult]
"""A layer's result and its dense baseline."""


def run_layers(settings: ModelRun) -> tuple[list[Pair], list[Unsupported]]:
    """Every layer that the machine can run with its baseline, and those it cannot with the reason."""
    workload = settings.pruned.workload
    pairs: list[Pair] = []
    unsupported = list(workload.unsupported)
    baselines: dict[Any, LayerResult] = {}
    total = workload.macs or 1
    for layer in workload.layers:
        try:
            pairs.append(_run_layer(layer, settings, baselines))
        except UnsupportedError as error:
            share = layer.macs * layer.count / total
            unsupported.append(Unsupported(name=layer.name, reason=str(error), macs_share=share))
    return pairs, unsupported


def _run_layer(layer: Layer, settings: ModelRun, baselines: dict[Any, LayerResult]) -> Pair:
    runner = settings.runner
    if not layer.kind.is_product:
        result = runner.vector(layer)
        return result, result
    dense = WeightOperand(layer.m, layer.k)
    inputs = _activations(layer, settings)
    mask = settings.pruned.mask(layer)
    weights = dense if mask is None or mask.all() else WeightOperand(layer.m, layer.k, mask)
    names = candidates(settings.hardware, settings.format, weights)
    pattern = _layer_pattern(layer, settings, weights)
    sparse = _with_dense_fallback(layer, settings, weights, inputs, names, pattern)
    key = (layer.kind, layer.m, layer.k, layer.n, layer.groups, layer.conv, layer.count)
    if key not in baselines or not inputs.is_dense:
        baselines[key] = _baseline(layer, settings, dense, inputs)
    return sparse, baselines[key]


def _layer_pattern(layer: Layer, settings: ModelRun, weights: WeightOperand) -> Pattern:
    """The pattern asked for, or the one found in the zeros that the model brought."""
    asked = settings.pruned.pattern
    if not isinstance(asked, Dense) or weights.mask is None:
        return asked
    positions = layer.conv.kernel_height * layer.conv.kernel_width if layer.conv else 1
    found = detect_pattern(weights.mask, kernel_positions=positions, groups=layer.groups)
    settings.detected[layer.name] = found
    return found


def _with_dense_fallback(
    layer: Layer,
    settings: ModelRun,
    weights: WeightOperand,
    inputs: ActivationOperand,
    names: Sequence[str],
    pattern: Pattern,
) -> LayerResult:
    """The named format, or dense where it cannot hold or run this layer, which is then said."""
    runner = settings.runner
    try:
        return runner.product(layer, weights, inputs, names, pattern)
    except UnsupportedError as error:
        if settings.format in (AUTO, "dense") or "dense" not in settings.hardware.formats:
            raise
        runner.notes[f"layers that {settings.format} cannot hold or run are dense ({error})"] = None
        return runner.product(layer, weights, inputs, ("dense",), pattern)


def _baseline(
    layer: Layer, settings: ModelRun, dense: WeightOperand, inputs: ActivationOperand
) -> LayerResult:
    names = candidates(settings.hardware, AUTO, dense)
    try:
        return settings.runner.product(layer, dense, inputs, names, Dense())
    except UnsupportedError:
        result = settings.runner.product(layer, dense, inputs, names, Dense(), ignore_capacity=True)
        settings.runner.notes["dense weights that do not fit on chip are timed as if they did"] = None
        return result


def _activations(layer: Layer, settings: ModelRun) -> ActivationOperand:
    density = settings.activation_density
    if density is None:
        density = settings.pruned.activation_density(layer)
    seed = settings.seed ^ crc32(layer.name.encode())
    return ActivationOperand(layer, density=1.0 if density is None else density, seed=seed)


def candidates(hardware: HardwareModel, chosen: str, weights: WeightOperand) -> tuple[str, ...]:
    """Formats to try: the chosen one, or all; weights that lost nothing are dense where the machine can
    hold that.
    """
    if weights.mask is None and "dense" in hardware.formats:
        return ("dense",)
    if chosen != AUTO:
        return (chosen,)
    return tuple(name for name, support in hardware.formats.items() if support.role != "unpack")
