"""``measure``: a pruned network really run here, layer by layer, beside the best dense library at hand.

The network and the dense library take turns, run by run, so that a slow spell of the machine meets both;
each timed run follows one of the same engine, as in steady use.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UsageError
from simsparse.formats import make_format
from simsparse.hardware import HardwareModel
from simsparse.load.npz import NpzArrays
from simsparse.load.plan_yaml import ModelPlan, load_plan
from simsparse.measure.baseline import Baseline, Feeds, best_baseline
from simsparse.measure.capture import Capture
from simsparse.measure.idle import wait_until_idle
from simsparse.measure.measure_energy import EnergyMeter, find_meter
from simsparse.measure.measure_predicted import find_host, predict
from simsparse.measure.measure_source import LayerMasks, Source, open_source
from simsparse.measure.network import Network, load_network
from simsparse.measure.ops_product import AUTO, Kernels
from simsparse.measurement import LayerMeasurement, Measurement
from simsparse.packed.dense import blas_threads
from simsparse.pattern import Pattern, parse_pattern
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.input_masks import MOST_MASK_BYTES
from simsparse.pruning.pruned import Pruned
from simsparse.simulate import prune_or_follow

__all__ = ["Progress", "measure"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how far that is."""

REPEAT = 20


def no_progress(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class _Times:
    """Seconds of every run so far, and of every step in it."""

    sparse: list[float] = field(default_factory=list)
    dense: list[float] = field(default_factory=list)
    steps: list[NDArray[np.float64]] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    interrupted: bool = False


def measure(
    model: str | Path,
    *,
    prune: str | Pattern | None = None,
    criterion: str = "magnitude",
    allocation: str = "uniform",
    skip: Sequence[str] = (),
    format: str = AUTO,  # noqa: A002  (the public word for it)
    threads: int = 1,
    repeat: int = REPEAT,
    batch: int | None = None,
    seq: int | None = None,
    seed: int = 0,
    on: str | None = None,
    calibration: str | Path | Calibration | None = None,
    plan: str | Path | ModelPlan | None = None,
    inputs: str | Path | None = None,
    capture: str | Path | None = None,
    grams: bool = False,
    progress: Progress = no_progress,
) -> Measurement:
    """Run a pruned model on this host and time it, beside the best dense library there is.

    Parameters
    ----------
    model
        A bundled name, a ``.yaml`` or ``.onnx`` file, or an inline layer.
    prune, criterion, allocation, skip
        As `simsparse.simulate` takes them.
    format
        A storage format for all pruned layers, or ``auto``: the kernel that a rule over shape and density
        expects to be fastest, dense where sparsity does not pay.
    threads
        Of our kernels and of the dense library.
    repeat
        Runs of each.
    on
        The machine file to predict with; by default this host's own, if it was calibrated.
    calibration
        What criteria such as ``wanda`` know beside weights: an ``.npz`` file, or its arrays.
    plan
        A plan, or a plan file: formats by layer, and without ``prune`` also its patterns.
    inputs
        An ``.npz`` with an array for each input of the network; random ones otherwise.
    grams
        Whether the capture holds Gram matrices too, which criteria ``obs`` and ``sparsegpt`` need.
    capture
        A file to write the activation sparsity of every layer to, its density and the zeros themselves.
    progress
        Called now and then.

    An interrupt (Ctrl-C) after the first runs ends the measurement early; what was measured is returned and
    says so.

    Raises
    ------
    UsageError
        If a name or number cannot be used, a file has mistakes, or memory does not suffice.
    UnsupportedError
        If nobody implements an operator of the model.
    """
    if threads < 1 or repeat < 1:
        raise UsageError(f"measure: expected threads and repeat >= 1, got {threads} and {repeat}")
    pattern = parse_pattern(prune) if isinstance(prune, str) else prune
    if format != AUTO:
        make_format(format)  # refuse a name before any weight is drawn
    machine = find_host(on, threads)
    progress("loading", 0, 1)
    with open_source(model, batch=batch, seq=seq, seed=seed) as source, _blas_threads(threads):
        chosen = load_plan(plan) if isinstance(plan, str | Path) else plan or ModelPlan()
        chosen.check(source.workload)
        pruned, _ = prune_or_follow(
            source.workload,
            pattern,
            chosen,
            criterion=criterion,
            calibration=calibration,
            allocation=allocation,
            seed=seed,
            skip=skip,
        )
        masks = LayerMasks(pruned, source)
        kernels = Kernels(
            format=format,
            threads=threads,
            masks=masks,
            pattern=pruned.pattern,
            formats=lambda name: chosen.formats.get(source.layer_of(name)),
        )
        network = load_network(source.path, batch=source.batch, seq=source.seq, kernels=kernels)
        feeds = random_feeds(network, seed) if inputs is None else dict(NpzArrays(inputs))
        baseline, notes = best_baseline(
            source.path, batch=source.batch, seq=source.seq, threads=threads, feeds=feeds
        )
        layers_by_name = {layer.name: layer for layer in source.workload.layers}
        seen = Capture(
            layers=layers_by_name,
            grams=grams and capture is not None,
            most_mask_bytes=0 if capture is None else MOST_MASK_BYTES,
        )
        network.run(feeds, watch=lambda name, values: seen.add(source.layer_of(name), values))
        meter = find_meter()
        ready = _settle if threads == 1 else _wake
        times = _take_turns(network, baseline, feeds, repeat, meter, ready, progress)
        dense = _dense_layers(times, baseline, network, feeds, progress)
        if capture is not None:
            seen.write(Path(capture))
        layers = _layers(network, source, times, dense, seen.densities, machine, masks)
    asked = {"model": str(model), "pattern": str(pruned.pattern), "format": format}
    unseen = (*_not_applied(network, source, pruned), *seen.notes)
    said = (*pruned.notes, *unseen, *notes, *_notes(meter, machine, layers))
    return _measurement(asked, source, network, baseline, times, layers, machine, said, threads, seed)


def _not_applied(network: Network, source: Source, pruned: Pruned) -> tuple[str, ...]:
    """Pruned layers whose operator has no kernel of ours: with zeros for removed weights, or with all."""
    zeroed = list(dict.fromkeys(map(source.layer_of, network.masked)))
    ran = {source.layer_of(step.step.node.name) for step in network.steps if step.step.op.product is not None}
    left = [name for name in pruned.densities if name not in ran and name not in zeroed]
    said = (
        ("ran dense, with zeros for what was removed, for want of a sparse kernel", zeroed),
        ("ran with all their weights, for want of a kernel", left),
    )
    return tuple(f"{what}: {', '.join(names)}" for what, names in said if names)


def random_feeds(network: Network, seed: int) -> Feeds:
    """Inputs of the network's shapes: normal numbers, and 0 or 1 where it wants integers."""
    drawn = np.random.default_rng(seed)
    feeds: dict[str, Any] = {}
    for name in network.input_names:
        shape, dtype = network.graph.shapes.get(name), network.graph.dtypes.get(name)
        if shape is None or dtype is None or dtype.kind not in "iufbV":
            raise UsageError(
                f"measure: expected inputs of numbers and of known shape, got another for {name}"
            )
        integers = dtype.kind in "iub"
        values = drawn.integers(0, 2, shape) if integers else drawn.standard_normal(shape, np.float32)
        feeds[name] = np.asarray(values).astype(dtype)
    return feeds


def _blas_threads(threads: int) -> AbstractContextManager[Any]:
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(blas_threads(threads), user_api="blas")
    return limits


def _settle(run: Callable[[], None]) -> None:
    """A run that does not count: after it the caches hold what a run leaves there, as in a row of runs.

    After a run of the other engine they would hold its weights.
    """
    run()


def _wake(run: Callable[[], None]) -> None:
    """As ``_settle``, once the threads of the one before have gone to sleep.

    A system may put a thread that wakes on the core that woke it, and take some milliseconds to spread them.
    """
    wait_until_idle()
    run()


def _take_turns(
    network: Network,
    baseline: Baseline,
    feeds: Feeds,
    repeat: int,
    meter: EnergyMeter | None,
    ready: Callable[[Callable[[], None]], None],
    progress: Progress,
) -> _Times:
    """Runs of both in turn; ``ready`` prepares each by a run that does not count."""
    times, clock = _Times(), time.perf_counter

    def ours() -> None:
        network.run(feeds)

    def dense() -> None:
        baseline.run(feeds)

    try:
        for done in range(repeat):
            progress("measuring", done, repeat)
            ready(ours)
            before = meter.read_uj() if meter else ()
            start = clock()
            ours()
            middle = clock()
            spent = meter.joules(before, meter.read_uj()) if meter else 0.0
            ready(dense)
            again = clock()
            dense()
            end = clock()
            times.sparse.append(middle - start)
            times.dense.append(end - again)
            times.steps.append(network.step_s.copy())
            times.joules.append(spent)
    except KeyboardInterrupt:
        times.interrupted = True
    return times


def _dense_layers(
    times: _Times, baseline: Baseline, network: Network, feeds: Feeds, progress: Progress
) -> dict[str, float]:
    if times.interrupted:
        return {}
    progress("dense layers", 0, 1)
    try:
        return baseline.layer_times(network, feeds, min(5, len(times.dense)))
    except KeyboardInterrupt:
        times.interrupted = True
        return {}


def _layers(
    network: Network,
    source: Source,
    times: _Times,
    dense: dict[str, float],
    activations: dict[str, float],
    machine: HardwareModel | None,
    masks: LayerMasks,
) -> tuple[LayerMeasurement, ...]:
    """One entry per step that takes time."""
    if not times.steps:
        return ()
    every = np.array(times.steps)
    medians, spreads = np.median(every, axis=0), _spreads(every)
    products = {bound.step.node.name: bound.step.op.product for bound in network.steps}
    ran = {name: (found.format, found.kernel) for name, found in products.items() if found is not None}
    nodes = [bound.step.node for bound in network.steps]
    residuals = {node.name for node in nodes if node.epilogue.residual}
    predicted = predict(machine, source, masks, ran, residuals) if machine is not None else {}
    found = []
    for bound, time_s, spread in zip(network.steps, medians, spreads, strict=True):
        node, product = bound.step.node, bound.step.op.product
        common: dict[str, Any] = {
            "name": node.name,
            "layer": source.layer_of(node.name),
            "kind": node.proto.op_type if node.proto is not None else node.type,
            "time_s": float(time_s),
            "spread": float(spread),
        }
        if product is None:
            if not bound.is_view:
                found.append(LayerMeasurement(**common))
            continue
        flops = 2 * product.stored * product.n
        moved = product.stored_bytes + 4 * product.n * (product.k + product.m)
        found.append(
            LayerMeasurement(
                **common,
                m=product.m,
                k=product.k,
                n=product.n,
                weight_density=product.stored / (product.m * product.k),
                activation_density=activations.get(source.layer_of(node.name)),
                format=product.format,
                kernel=product.kernel,
                dense_s=dense.get(node.name),
                predicted_s=predicted.get(node.name),
                flops=flops,
                moved_bytes=moved,
                peak_share=_peak_share(machine, flops, time_s),
                bandwidth_share=_bandwidth_share(machine, moved, time_s),
                notes=product.notes,
            )
        )
    return tuple(found)


def _spreads(every: NDArray[np.float64]) -> NDArray[np.float64]:
    low, middle, high = np.quantile(every, (0.1, 0.5, 0.9), axis=0)
    return np.asarray((high - low) / np.maximum(middle, 1e-12))


def _peak_share(machine: HardwareModel | None, flops: int, time_s: float) -> float | None:
    if machine is None or "fp32" not in machine.macs_per_cycle:
        return None
    return flops / time_s / (2 * machine.peak_macs_per_s("fp32"))


def _bandwidth_share(machine: HardwareModel | None, moved: int, time_s: float) -> float | None:
    bandwidth = machine.memory[0].bandwidth_bytes_per_s if machine is not None and machine.memory else None
    return None if bandwidth is None else moved / time_s / bandwidth


def _notes(
    meter: EnergyMeter | None, machine: HardwareModel | None, layers: Sequence[LayerMeasurement]
) -> tuple[str, ...]:
    said = []
    if machine is None:
        said.append("no prediction and no shares of the host's limits: simsparse calibrate measures them")
    if meter is None:
        said.append("no energy: this system does not let us read its counters")
    for layer in layers:
        said += [f"{layer.name}: {note}" for note in layer.notes]
    return tuple(said)


def _measurement(
    asked: dict[str, str],
    source: Source,
    network: Network,
    baseline: Baseline,
    times: _Times,
    layers: tuple[LayerMeasurement, ...],
    machine: HardwareModel | None,
    notes: tuple[str, ...],
    threads: int,
    seed: int,
) -> Measurement:
    predicted = [layer.predicted_s for layer in layers if layer.predicted_s is not None]
    products = [bound.step.op.product for bound in network.steps]
    return Measurement(
        **asked,
        threads=threads,
        batch=source.workload.batch,
        seed=seed,
        runs=len(times.sparse),
        time_s=_median(times.sparse),
        spread=_spread(times.sparse),
        dense_name=baseline.name,
        dense_s=_median(times.dense),
        dense_spread=_spread(times.dense),
        layers=layers,
        host=machine.name if machine is not None else "",
        predicted_s=sum(predicted) if predicted else None,
        peak_activation_bytes=network.peak_bytes,
        weight_bytes=sum(product.stored_bytes for product in products if product is not None),
        energy_j=_median(times.joules) if any(times.joules) else None,
        loading_s=network.loading_s,
        interrupted=times.interrupted,
        notes=notes,
        versions={name: version(name) for name in ("simsparse", "numpy", "numba", "onnx")}
        | {"python": platform.python_version()},
    )


def _median(times: Sequence[float]) -> float | None:
    return float(np.median(times)) if times else None


def _spread(times: Sequence[float]) -> float | None:
    return float(_spreads(np.array(times)[:, None])[0]) if times else None
