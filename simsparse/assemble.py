"""A run from its layers: totals, what limits it, and what was assumed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from simsparse.ir import Unsupported
from simsparse.load.facts import machine_facts
from simsparse.model_run import ModelRun, Pair
from simsparse.pattern import Dense
from simsparse.results import Cost, LayerResult, Run


def assemble(
    settings: ModelRun,
    pairs: Sequence[Pair],
    unsupported: Sequence[Unsupported],
    *,
    allocation: str,
    asked_model: str,
) -> Run:
    """The run of ``settings`` from pairs of results and baselines."""
    hardware, runner, workload = settings.hardware, settings.runner, settings.pruned.workload
    layers = tuple(sparse for sparse, _ in pairs)
    limit, share = _dominant(layers)
    pattern, found = _pattern_found(settings)
    standing = _standing_notes(layers, settings.captured)
    notes = (*workload.notes, *settings.pruned.notes, *found, *runner.notes, *standing)
    return Run(
        model=workload.name,
        hardware=hardware.name,
        pattern=pattern,
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
        asked_model=asked_model,
        asked_pattern="" if isinstance(settings.pruned.pattern, Dense) else str(settings.pruned.pattern),
        approximations=tuple(dict.fromkeys(notes)),
        unsupported=tuple(unsupported),
        versions=_versions(),
        machine=machine_facts(hardware, runner.dtype),
    )


def _pattern_found(settings: ModelRun) -> tuple[str, tuple[str, ...]]:
    """The run's pattern, and a note on what was detected; sparsities of one kind count together."""
    kinds = Counter(str(found).split(":0.")[0] for found in settings.detected.values())
    if not kinds:
        return settings.pruned.asked, ()
    listed = ", ".join(f"{kind} in {count}" for kind, count in kinds.most_common())
    first = kinds.most_common(1)[0][0]
    members = [str(found) for found in settings.detected.values() if str(found).split(":0.")[0] == first]
    exact = members[0] if len(set(members)) == 1 else first
    return exact, (f"patterns detected in the zeros of the model's own weights (layers): {listed}",)


def _standing_notes(layers: Sequence[LayerResult], captured: Collection[str]) -> tuple[str, ...]:
    products = [layer for layer in layers if layer.cost.macs_dense]
    passes = any(not layer.cost.macs_dense and layer.time_s for layer in layers)
    unfused = ("layers without a product that take time are passes of their own, none is fused",)
    return (*_zeros(products, captured), *(unfused if passes else ()))


_TAKEN = {
    "captured": "activation zeros are those captured",
    "seeded": "activation zeros are placed at random by density",
    "dense": "activations are taken as dense",
}
"""Where the zeros of inputs come from, in words."""


def _zeros(products: Sequence[LayerResult], captured: Collection[str]) -> tuple[str, ...]:
    """What was taken for inputs of products; where that differs, the most common goes without names."""
    groups: dict[str, list[str]] = {}
    for layer in products:
        drawn = "seeded" if layer.activation_density < 1.0 else "dense"
        groups.setdefault("captured" if layer.name in captured else drawn, []).append(layer.name)
    if "captured" not in groups:
        return (_TAKEN["seeded" if "seeded" in groups else "dense"],)
    ordered = sorted(groups.items(), key=lambda group: len(group[1]))
    (most, _), rest = ordered[-1], ordered[:-1]
    named = [f"{_TAKEN[kind]}: {', '.join(names)}" for kind, names in rest]
    return (*named, f"{_TAKEN[most]}{' in all other products' if named else ''}")


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
