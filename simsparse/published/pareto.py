"""Which published sparse network is best per joule, per second and per byte on a machine.

>>> import simsparse
>>> found = simsparse.pareto("bert-base", on="h100", seq=16)
>>> found.points[0].network.metric
'SQuAD F1'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simsparse.hardware import HardwareModel
from simsparse.load.catalog import load_hardware, load_model
from simsparse.published.networks import PublishedNetwork, published_networks
from simsparse.results import Run
from simsparse.simulate import simulate
from simsparse.sweep.pareto import front

COSTS: dict[str, Callable[[Run], float]] = {
    "energy": lambda run: run.totals.energy_j,
    "time": lambda run: run.totals.time_s,
    "memory": lambda run: float(run.totals.stored_bytes),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A published network on the machine; ``fronts`` are the costs in which no other beats it."""

    network: PublishedNetwork
    run: Run
    fronts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """All published networks of a model on one machine, least loss first."""

    model: str
    hardware: str
    points: tuple[Point, ...]

    @property
    def metric(self) -> str:
        """What the networks are measured by."""
        return self.points[0].network.metric

    def best(self, cost: str, within: float) -> Point:
        """The cheapest network whose metric is at most ``within`` worse than that of the best dense one."""
        dense = [point.network.loss for point in self.points if point.network.is_dense]
        limit = min(dense or [self.points[0].network.loss]) + within
        fitting = [point for point in self.points if point.network.loss <= limit]
        return min(fitting or self.points[:1], key=lambda point: COSTS[cost](point.run))


def pareto(
    model: str,
    *,
    on: str | HardwareModel,
    format: str = "auto",  # noqa: A002  (the public word for it)
    dtype: str | None = None,
    batch: int | None = None,
    seq: int | None = None,
    seed: int = 0,
) -> Front:
    """Simulate every published sparse network of ``model`` on a machine.

    A network is on the front of a cost if no other has both less loss and less cost.

    Raises
    ------
    UnknownNameError
        If nothing is published for the model, or there is no such machine or format.
    UnsupportedError
        If the machine cannot run the model.
    """
    networks = published_networks(model)
    workload = load_model(model, batch=batch, seq=seq)
    hardware = load_hardware(on) if isinstance(on, str) else on
    runs: dict[tuple[str | None, str, tuple[str, ...]], Run] = {}
    for network in networks:
        key = network.pattern, network.allocation, network.skip
        if key not in runs:  # networks that differ in training only have masks alike
            runs[key] = simulate(
                workload,
                on=hardware,
                prune=network.pattern,
                allocation=network.allocation,
                skip=network.skip,
                format=format,
                dtype=dtype,
                seed=seed,
            )
    pairs = [(network, runs[network.pattern, network.allocation, network.skip]) for network in networks]
    on_front = {cost: front([(net.loss, of(run)) for net, run in pairs]) for cost, of in COSTS.items()}
    points = [
        Point(network=net, run=run, fronts=tuple(cost for cost in COSTS if at in on_front[cost]))
        for at, (net, run) in enumerate(pairs)
    ]
    return Front(
        model=model,
        hardware=hardware.name,
        points=tuple(sorted(points, key=lambda point: point.network.loss)),
    )
