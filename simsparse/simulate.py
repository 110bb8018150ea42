"""The one orchestration: a model, a machine, a pattern and a format become a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simsparse.assemble import assemble
from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.errors import ShapeError, UnknownNameError, UnsupportedError, UsageError
from simsparse.formats import format_names
from simsparse.hardware import DTYPE_BITS, HardwareModel
from simsparse.ir import Layer, Workload
from simsparse.layer_run import AUTO, Chosen, LayerRunner
from simsparse.load.activations_npz import Given, load_activations
from simsparse.load.calibration_npz import load_calibration
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.phases import INFERENCE, PHASES, TRAIN, loaded_phase
from simsparse.load.plan_yaml import ModelPlan, load_plan
from simsparse.model_run import DenseResults, ModelRun, Outcome, run_layers
from simsparse.pattern import Pattern, Unstructured, parse_pattern
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.mixed import prune_mixed
from simsparse.pruning.prune import prune as prune_workload
from simsparse.pruning.pruned import Pruned
from simsparse.pruning.training import training_bytes, training_step
from simsparse.results import LayerResult, Run
from simsparse.units import si

BoolArray = NDArray[np.bool_]
Observer = Callable[[Chosen], None]


def simulate(
    model: str | Workload,
    *,
    on: str | HardwareModel,
    prune: str | Pattern | None = None,
    criterion: str = "magnitude",
    calibration: str | Path | Calibration | None = None,
    allocation: str = "uniform",
    skip: Sequence[str] = (),
    format: str = AUTO,  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    batch: int | None = None,
    seq: int | None = None,
    columns: int | None = None,
    weight_density: float | None = None,
    activation_density: float | None = None,
    activations: Given | None = None,
    phase: str = INFERENCE,
    optimizer: str = "adam",
    gradient_density: float = 1.0,
    seed: int = 0,
    engine: str = "compiled",
    plan: str | Path | ModelPlan | None = None,
    observe: Observer | None = None,
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
    calibration
        What criteria such as ``wanda`` or ``sparsegpt`` know beside weights: an ``.npz`` file, or its arrays.
    weight_density
        Kept share, as another way to write an unstructured pattern.
    activation_density
        Share of nonzero inputs of every product; from the profile where one is used, else 1.
    activations
        What is known of the layers' inputs: a capture file, or by layer name a density or a boolean mask of
        the input's own shape. Machines that skip zero inputs meet a mask's very zeros, elsewhere as many at
        random; layers that are not named are as without. ``activation_density`` goes before it.
    columns
        Width of the operand that a single matrix (``.smtx``, ``.mtx``) meets.
    phase
        ``inference``, or ``train`` for one training step: forward, both backward products, the update. For
        decoders in Hugging Face layout also ``prefill`` or ``decode``.
    optimizer, gradient_density
        For ``train``: ``sgd``, ``momentum`` or ``adam``; the share of non-zeros in the gradients of outputs.
    plan
        A plan, or a plan file: formats by layer, and without ``prune`` also its pattern, criterion,
        allocation and seed.
    observe
        Is told of each chosen result with the plan it came from, sparse and baseline.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    UnsupportedError
        If nothing in the model can be simulated on the machine.
    """
    if phase not in PHASES:
        raise UnknownNameError("phase", phase, PHASES)
    if isinstance(model, str):
        workload = load_model(model, batch=batch, seq=seq, columns=columns, phase=loaded_phase(phase))
    else:
        workload = model
    pattern = _pattern(prune, weight_density)
    hardware = load_hardware(on) if isinstance(on, str) else on
    _known_format(hardware, format), _known_dtype(hardware, dtype)  # refuse names before any weight is drawn
    chosen = load_plan(plan) if isinstance(plan, str | Path) else plan or ModelPlan()
    chosen.check(workload, hardware)
    pruned, allocation = prune_or_follow(
        workload,
        pattern,
        chosen,
        criterion=criterion,
        calibration=calibration,
        allocation=allocation,
        seed=seed,
        skip=skip,
    )
    if activations is not None:
        pruned = with_activations(pruned, activations)
    if phase == TRAIN:
        pruned = training_step(pruned, optimizer=optimizer, gradient_density=gradient_density)
        held = training_bytes(workload, DTYPE_BITS[_known_dtype(hardware, dtype)], optimizer)
        listed = ", ".join(f"{what} {si(size, 'B')}" for what, size in held.items())
        pruned = replace(pruned, notes=(*pruned.notes, f"training memory, dense: {listed}"))
    return simulate_pruned(
        pruned,
        on=hardware,
        format=format,
        dtype=dtype,
        activation_density=activation_density,
        engine=engine,
        allocation=allocation,
        asked_model=model if isinstance(model, str) else "",
        formats=chosen.formats,
        observe=observe,
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
    asked_model: str = "",
    formats: Mapping[str, str] | None = None,
    observe: Observer | None = None,
) -> Run:
    """Simulate an already pruned workload; `simulate` with the first half done, so that masks can be shared.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    UnsupportedError
        If nothing in the model can be simulated on the machine.
    """
    settings = model_run(
        pruned,
        load_hardware(on) if isinstance(on, str) else on,
        format=format,
        dtype=dtype,
        activation_density=activation_density,
        engine=engine,
        formats=formats,
        observe=observe,
    )
    return finished_run(settings, run_layers(settings), allocation=allocation, asked_model=asked_model)


def model_run(
    pruned: Pruned,
    hardware: HardwareModel,
    *,
    format: str = AUTO,  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    activation_density: float | None = None,
    engine: str = "compiled",
    formats: Mapping[str, str] | None = None,
    dense: DenseResults | None = None,
    observe: Observer | None = None,
) -> ModelRun:
    """The run of a pruned workload on a machine, checked and ready to be executed, alone or with others.

    Raises
    ------
    UsageError
        If a name or number cannot be used.
    """
    if activation_density is not None and not 0.0 <= activation_density <= 1.0:
        raise UsageError(f"activation-density: expected 0 to 1, got {activation_density:g}")
    return ModelRun(
        hardware=hardware,
        pruned=pruned,
        format=_known_format(hardware, format),
        activation_density=activation_density,
        seed=pruned.seed,
        runner=LayerRunner(
            hardware=hardware, dtype=_known_dtype(hardware, dtype), engine=engine, observe=observe
        ),
        formats=formats or {},
        dense={} if dense is None else dense,
    )


def finished_run(settings: ModelRun, outcome: Outcome, *, allocation: str, asked_model: str = "") -> Run:
    """The run that the results of all layers make.

    Raises
    ------
    UnsupportedError
        If nothing in the model could be simulated on the machine.
    """
    pairs, unsupported = outcome
    workload, hardware = settings.pruned.workload, settings.hardware
    if workload.macs and not any(result.cost.macs_dense for result, _ in pairs):
        reasons = "; ".join(dict.fromkeys(part.reason for part in unsupported))
        raise UnsupportedError(f"{workload.name} on {hardware.name}: no layer can be simulated ({reasons})")
    return assemble(
        settings, pairs, unsupported, allocation=allocation, asked_model=asked_model or workload.name
    )


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
    each other) or, of a convolution, its input ``(batch, channels, height, width)``.

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
    inputs = _given_inputs(shape, activations_mask)
    inputs = inputs or ActivationOperand(shape, density=activation_density, seed=seed)
    names = runner.candidates(_known_format(machine, format), weights)
    return runner.product(shape, weights, inputs, names, None)


def with_activations(pruned: Pruned, activations: Given) -> Pruned:
    """``pruned`` with what a capture file, or a mapping by layer name, says about the inputs of layers.

    Raises
    ------
    FileError
        If the file cannot be read, or lies about an array.
    UsageError
        If a density is out of range, a mask belongs to another model, or no layer of the model is named.
    """
    found = load_activations(activations, pruned.workload)
    notes = (*pruned.notes, *found.notes)
    return replace(pruned, activations=found.densities, input_masks=found.masks, notes=notes)


def prune_or_follow(
    workload: Workload,
    pattern: Pattern | None,
    plan: ModelPlan,
    *,
    criterion: str,
    calibration: str | Path | Calibration | None,
    allocation: str,
    seed: int,
    skip: Sequence[str],
) -> tuple[Pruned, str]:
    """``workload`` pruned in ``pattern``, without one as ``plan`` says, and the allocation that was used.

    Raises
    ------
    UsageError
        If a name, number or file cannot be used.
    """
    if pattern is None and (plan.prune is not None or plan.patterns):
        return prune_as_planned(workload, plan, skip), plan.allocation
    pruned = prune_workload(
        workload,
        pattern,
        criterion=criterion,
        calibration=load_calibration(calibration),
        allocation=allocation,
        seed=seed,
        skip=skip,
    )
    return pruned, allocation


def prune_as_planned(workload: Workload, plan: ModelPlan, skip: Sequence[str] = ()) -> Pruned:
    """``workload`` pruned in the patterns of a plan.

    Raises
    ------
    PatternError
        If a pattern does not apply to its layer.
    """
    pattern = None if plan.prune is None else parse_pattern(plan.prune)
    options = {"criterion": plan.criterion, "allocation": plan.allocation, "seed": plan.seed, "skip": skip}
    if not plan.patterns:
        return prune_workload(workload, pattern, **options)  # type: ignore[arg-type]
    patterns = {name: parse_pattern(text) for name, text in plan.patterns.items()}
    return prune_mixed(workload, patterns, pattern, **options)  # type: ignore[arg-type]


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


def _given_inputs(layer: Layer, mask: BoolArray | None) -> ActivationOperand | None:
    if layer.conv is not None and mask is not None and np.ndim(mask) == 4:
        return ActivationOperand(layer, tensor=np.ascontiguousarray(mask, np.bool_))
    return None if mask is None else ActivationOperand(layer, mask=_as_mask(mask))


def _as_mask(mask: BoolArray | None) -> BoolArray | None:
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.ndim != 2:
        raise ShapeError(
            f"mask: expected a two-dimensional boolean array, got {array.dtype} of shape {array.shape}"
        )
    return np.ascontiguousarray(array)
