"""The one orchestration: a model, a machine, a pattern and a format become a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.errors import ShapeError, UnknownNameError, UnsupportedError, UsageError
from simsparse.formats import format_names
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Unsupported, Workload
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware, load_model
from simsparse.pattern import Dense, Pattern, Unstructured, parse_pattern
from simsparse.pruning.prune import prune as prune_workload
from simsparse.pruning.pruned import Pruned
from simsparse.results import Cost, LayerResult, Run

BoolArray = NDArray[np.bool_]
AUTO = "auto"


def simulate(
    model: str | Workload,
    *,
    on: str | HardwareModel,
    prune: str | Pattern | None = None,
    criterion: str = "magnitude",
    allocation: str = "uniform",
    skip: Sequence[str] = (),
    format: str = AUTO,  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    batch: int | None = None,
    seq: int | None = None,
    weight_density: float | None = None,
    activation_density: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
) -> Run:
    """Simulate a model on a machine, beside the best dense execution on the same machine.

    Parameters
    ----------
    model
        A workload, or what `simsparse.load_model` takes.
    on
        A machine, or what `simsparse.load_hardware` takes.
    prune
        A pattern such as ``2:4`` or ``unstructured:0.9``. Without one the zeros of the model's own weights
        count.
    format
        A storage format the machine reads, or ``auto`` for the fastest of them, layer by layer.
    dtype
        One the machine computes in; its default otherwise.
    weight_density
        Kept share, as another way to write an unstructured pattern.
    activation_density
        Share of nonzero inputs of every product; from the profile where one is used, else 1.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    UnsupportedError
        If nothing in the model can be simulated on the machine.
    """
    workload = load_model(model, batch=batch, seq=seq) if isinstance(model, str) else model
    pattern = _pattern(prune, weight_density)
    hardware = load_hardware(on) if isinstance(on, str) else on
    _known_format(hardware, format), _known_dtype(hardware, dtype)  # refuse names before any weight is drawn
    pruned = prune_workload(
        workload, pattern, criterion=criterion, allocation=allocation, seed=seed, skip=skip
    )
    return simulate_pruned(
        pruned,
        on=hardware,
        format=format,
        dtype=dtype,
        activation_density=activation_density,
        engine=engine,
        allocation=allocation,
    )


def simulate_pruned(
    pruned: Pruned,
    *,
    on: str | HardwareModel,
    format: str = AUTO,  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    activation_density: float | None = None,
    engine: str = "compiled",
    allocation: str = "uniform",
) -> Run:
    """Simulate an already pruned workload; `simulate` with the first half done, so that masks can be shared.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    UnsupportedError
        If nothing in the model can be simulated on the machine.
    """
    hardware = load_hardware(on) if isinstance(on, str) else on
    workload = pruned.workload
    if activation_density is not None and not 0.0 <= activation_density <= 1.0:
        raise UsageError(f"activation-density: expected 0 to 1, got {activation_density:g}")
    settings = _Settings(
        hardware=hardware,
        pruned=pruned,
        format=_known_format(hardware, format),
        activation_density=activation_density,
        seed=pruned.seed,
        runner=LayerRunner(hardware=hardware, dtype=_known_dtype(hardware, dtype), engine=engine),
    )
    pairs, unsupported = _run_layers(workload, settings)
    if workload.macs and not any(result.cost.macs_dense for result, _ in pairs):
        reasons = "; ".join(dict.fromkeys(part.reason for part in unsupported))
        raise UnsupportedError(f"{workload.name} on {hardware.name}: no layer can be simulated ({reasons})")
    return _assemble(settings, pairs, unsupported, allocation=allocation)


def simulate_layer(
    layer: str | Layer,
    hardware: str | HardwareModel,
    weights_mask: BoolArray | None = None,
    activations_mask: BoolArray | None = None,
    *,
    format: str = AUTO,  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    activation_density: float = 1.0,
    seed: int = 0,
    engine: str = "compiled",
) -> LayerResult:
    """Simulate one layer with given masks: weights ``(m, k)``, activations ``(k, n)`` (all groups below
    each other).

    ``layer`` may be inline text such as ``gemm:64,64,1024``.

    Raises
    ------
    ShapeError
        If a mask does not fit the layer.
    UnsupportedError
        If the machine cannot run the layer.
    """
    machine = load_hardware(hardware) if isinstance(hardware, str) else hardware
    shape = load_model(layer).layers[0] if isinstance(layer, str) else layer
    runner = LayerRunner(hardware=machine, dtype=_known_dtype(machine, dtype), engine=engine)
    if not shape.kind.is_product:
        return runner.vector(shape)
    weights = WeightOperand(shape.m, shape.k, _as_mask(weights_mask))
    inputs = ActivationOperand(shape, density=activation_density, seed=seed, mask=_as_mask(activations_mask))
    names = _candidates(machine, _known_format(machine, format), weights)
    return runner.product(shape, weights, inputs, names, None)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    hardware: HardwareModel
    pruned: Pruned
    format: str
    activation_density: float | None
    seed: int
    runner: LayerRunner


_Pair = tuple[LayerResult, LayerResult]
"""A layer's result and its dense baseline."""


def _run_layers(workload: Workload, settings: _Settings) -> tuple[list[_Pair], list[Unsupported]]:
    pairs: list[_Pair] = []
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


def _run_layer(layer: Layer, settings: _Settings, baselines: dict[Any, LayerResult]) -> _Pair:
    runner = settings.runner
    if not layer.kind.is_product:
        result = runner.vector(layer)
        return result, result
    dense = WeightOperand(layer.m, layer.k)
    inputs = _activations(layer, settings)
    mask = settings.pruned.mask(layer)
    weights = dense if mask is None or mask.all() else WeightOperand(layer.m, layer.k, mask)
    names = _candidates(settings.hardware, settings.format, weights)
    pattern = settings.pruned.pattern
    sparse = _with_dense_fallback(layer, settings, weights, inputs, names, pattern)
    key = (layer.kind, layer.m, layer.k, layer.n, layer.groups, layer.conv, layer.count)
    if key not in baselines or not inputs.is_dense:
        baselines[key] = _baseline(layer, settings, dense, inputs)
    return sparse, baselines[key]


def _with_dense_fallback(
    layer: Layer,
    settings: _Settings,
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
    layer: Layer, settings: _Settings, dense: WeightOperand, inputs: ActivationOperand
) -> LayerResult:
    names = _candidates(settings.hardware, AUTO, dense)
    try:
        return settings.runner.product(layer, dense, inputs, names, Dense())
    except UnsupportedError:
        result = settings.runner.product(layer, dense, inputs, names, Dense(), ignore_capacity=True)
        settings.runner.notes["dense weights that do not fit on chip are timed as if they did"] = None
        return result


def _activations(layer: Layer, settings: _Settings) -> ActivationOperand:
    density = settings.activation_density
    if density is None:
        density = settings.pruned.activation_density(layer)
    seed = settings.seed ^ crc32(layer.name.encode())
    return ActivationOperand(layer, density=1.0 if density is None else density, seed=seed)


def _candidates(hardware: HardwareModel, chosen: str, weights: WeightOperand) -> tuple[str, ...]:
    """Formats to try: the chosen one, or all; weights that lost nothing are dense where the machine can
    hold that.
    """
    if weights.mask is None and "dense" in hardware.formats:
        return ("dense",)
    return tuple(hardware.formats) if chosen == AUTO else (chosen,)


def _known_format(hardware: HardwareModel, name: str) -> str:
    if name == AUTO or name in hardware.formats:
        return name
    if name not in format_names():
        raise UnknownNameError("format", name, (AUTO, *format_names()))
    known = ", ".join(hardware.formats)
    raise UsageError(
        f'format: expected one that {hardware.name} reads ({known}), got "{name}" (auto picks the fastest)'
    )


def _known_dtype(hardware: HardwareModel, name: str | None) -> str:
    if name is None:
        return hardware.default_dtype
    if name not in hardware.macs_per_cycle:
        known = ", ".join(hardware.macs_per_cycle)
        raise UsageError(f'dtype: expected one that {hardware.name} computes in ({known}), got "{name}"')
    return name


def _pattern(prune: str | Pattern | None, weight_density: float | None) -> Pattern | None:
    if weight_density is None:
        return parse_pattern(prune) if isinstance(prune, str) else prune
    if prune is not None:
        raise UsageError(
            "weight-density: expected no pattern beside it, got both (unstructured:S keeps 1 - S)"
        )
    if not 0.0 <= weight_density <= 1.0:
        raise UsageError(f"weight-density: expected 0 to 1, got {weight_density:g}")
    return Unstructured(1.0 - weight_density)


def _as_mask(mask: BoolArray | None) -> BoolArray | None:
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.ndim != 2:
        raise ShapeError(
            f"mask: expected a two-dimensional boolean array, got {array.dtype} of shape {array.shape}"
        )
    return np.ascontiguousarray(array)


def _assemble(
    settings: _Settings, pairs: Sequence[_Pair], unsupported: Sequence[Unsupported], *, allocation: str
) -> Run:
    hardware, runner, workload = settings.hardware, settings.runner, settings.pruned.workload
    layers = tuple(sparse for sparse, _ in pairs)
    limit, share = _dominant(layers)
    notes = (*workload.notes, *settings.pruned.notes, *runner.notes, *_standing_notes(layers))
    return Run(
        model=workload.name,
        hardware=hardware.name,
        pattern=str(settings.pruned.pattern),
        format=settings.format,
        dtype=runner.dtype,
        batch=workload.batch,
        seed=settings.seed,
        engine=runner.engine,
        criterion=settings.pruned.criterion.name,
        allocation=allocation,
        tdp_w=hardware.tdp_w,
        layers=layers,
        baseline_layers=tuple(dense for _, dense in pairs),
        totals=_total(layers),
        baseline=_total([dense for _, dense in pairs]),
        baseline_name=f"dense {runner.dtype} on {hardware.name}",
        bound_by=limit,
        bound_share=share,
        approximations=tuple(dict.fromkeys(notes)),
        unsupported=tuple(unsupported),
        versions=_versions(),
    )


def _standing_notes(layers: Sequence[LayerResult]) -> tuple[str, ...]:
    products = [layer for layer in layers if layer.cost.macs_dense]
    dense_inputs = all(layer.activation_density == 1.0 for layer in products)
    activations = (
        "activations are taken as dense"
        if dense_inputs
        else "activation zeros are placed at random by density"
    )
    passes = any(not layer.cost.macs_dense and layer.time_s for layer in layers)
    unfused = ("layers without a product that take time are passes of their own, none is fused",)
    return (activations, *(unfused if passes else ()))


def _dominant(layers: Sequence[LayerResult]) -> tuple[str, float]:
    """The component that limits most of the time, and its share."""
    time_s: dict[str, float] = {}
    for layer in layers:
        time_s[layer.bound_by] = time_s.get(layer.bound_by, 0.0) + layer.time_s * layer.count
    if not time_s:
        return "", 0.0
    limit = max(time_s, key=lambda name: time_s[name])
    return limit, time_s[limit] / (sum(time_s.values()) or 1.0)


def _total(layers: Sequence[LayerResult]) -> Cost:
    def summed(name: str) -> Any:
        return sum(getattr(layer.cost, name) * layer.count for layer in layers)

    energy: dict[str, float] = {}
    for layer in layers:
        for component, joules in layer.cost.energy_by_component_j.items():
            energy[component] = energy.get(component, 0.0) + joules * layer.count
    added = (
        "weight_bytes",
        "metadata_bytes",
        "dram_bytes",
        "macs_dense",
        "macs_done",
        "macs_gated",
        "macs_skipped",
    )
    return Cost(
        time_s=float(summed("time_s")),
        cycles=float(summed("cycles")),
        energy_by_component_j=dict(sorted(energy.items())),
        peak_activation_bytes=max((layer.cost.peak_activation_bytes for layer in layers), default=0),
        **{name: int(summed(name)) for name in added},
    )


def _versions() -> Mapping[str, str]:
    return {name: _version(name) for name in ("simsparse", "numpy", "numba", "simpy")}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
