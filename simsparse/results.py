"""What a simulation gives back: counted actions, the course of execution, results per layer and per run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import Unsupported
from simsparse.plan import TICKS_PER_CYCLE

Action = tuple[str, str]
"""A component and what it does, such as ``("mac", "int8")`` or ``("dram", "byte")``."""


class Counts(Mapping[Action, int]):
    """How often each action happened; integers, so that they add and scale exactly.

    >>> counts = Counts({("mac", "int8"): 3}) + Counts({("mac", "int8"): 1, ("dram", "byte"): 8})
    >>> counts[("mac", "int8")], counts.scaled(2)[("dram", "byte")], counts[("mac", "gated")]
    (4, 16, 0)
    """

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[Action, int] | None = None) -> None:
        self._data = {action: int(count) for action, count in (data or {}).items() if count}

    def __getitem__(self, action: Action) -> int:
        return self._data.get(action, 0)

    def __iter__(self) -> Iterator[Action]:
        return iter(sorted(self._data))

    def __len__(self) -> int:
        return len(self._data)

    def __add__(self, other: Counts) -> Counts:
        total = Counter(self._data)
        total.update(other._data)
        return Counts(total)

    def scaled(self, times: int) -> Counts:
        """Every count multiplied by ``times``."""
        return Counts({action: count * times for action, count in self._data.items()})

    def __repr__(self) -> str:
        return f"Counts({dict(self.items())})"


@dataclass(frozen=True, slots=True)
class Event:
    """One bar of the timeline: ``resource`` was busy with a stage of ``tile`` from start to end."""

    resource: str
    stage: str
    tile: int
    start_ticks: int
    end_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Execution:
    """How one plan ran. Times are ticks of one repetition unless they say total."""

    finish_ticks: NDArray[np.int64]
    """(T,) when each tile was finished, drained included"""
    channel_busy_ticks: NDArray[np.int64]
    channel_bytes: NDArray[np.int64]
    unit_busy_ticks: NDArray[np.int64]
    decode_busy_ticks: NDArray[np.int64]
    """(U,)"""
    repeat: int
    overhead_ticks: int
    serial_ticks: int = 0
    """what came before the first tile; included in ``finish_ticks``"""
    events: tuple[Event, ...] = ()

    @property
    def makespan_ticks(self) -> int:
        """From the start to the last tile's finish, one repetition."""
        return int(self.finish_ticks.max(initial=self.serial_ticks))

    @property
    def total_ticks(self) -> int:
        """All repetitions and the fixed overhead."""
        return self.makespan_ticks * self.repeat + self.overhead_ticks

    @property
    def total_cycles(self) -> float:
        """All repetitions and the fixed overhead, in cycles of the machine's clock."""
        return self.total_ticks / TICKS_PER_CYCLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Totals of a layer or a run: the figures that appear twice, for the sparse execution and for its
    baseline.
    """

    time_s: float
    cycles: float
    energy_by_component_j: Mapping[str, float]
    weight_bytes: int
    """Stored weights without positions: kept values and padding."""
    metadata_bytes: int
    peak_activation_bytes: int
    dram_bytes: int
    macs_dense: int
    macs_done: int
    macs_gated: int
    macs_skipped: int

    @property
    def energy_j(self) -> float:
        """Sum over the components, in whatever order they come."""
        return math.fsum(self.energy_by_component_j.values())

    @property
    def average_power_w(self) -> float:
        """Energy by time; 0 when nothing ran."""
        return self.energy_j / self.time_s if self.time_s else 0.0

    @property
    def stored_bytes(self) -> int:
        """Weights with their metadata."""
        return self.weight_bytes + self.metadata_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """One layer on one machine; ``cost`` is for one of its ``count`` instances."""

    name: str
    kind: str
    m: int
    k: int
    n: int
    count: int
    weight_density: float
    activation_density: float
    format: str
    kernel: str
    """What ran, in the machine's words, such as ``2:4 tiles 128x128``."""
    bound_by: str
    utilisation: float
    """MACs done by what the units could do in the time; at most 1. Skipped and gated MACs are not done."""
    bound_cycles: float
    """Lower bound from the busiest resource, without fill, drain and fixed overhead."""
    balance: float
    """Mean over busiest unit of the compute time, 1 when perfectly balanced."""
    counts: Counts
    cost: Cost
    unit_load: tuple[float, ...] = ()
    """Busy time of the compute units ÷ their mean, as equally spaced quantiles from the idlest to the
    busiest; empty where there is one unit.
    """

    @property
    def time_s(self) -> float:
        """Seconds of one instance."""
        return self.cost.time_s

    @property
    def cycles(self) -> float:
        """Cycles of one instance."""
        return self.cost.cycles

    @property
    def energy_j(self) -> float:
        """Joules of one instance."""
        return self.cost.energy_j


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedNumber:
    """One number of a machine and where it comes from."""

    value: float | tuple[float, ...]
    unit: str
    source: str
    """Empty where the machine's file does not give the number and a default holds."""
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What a reader of a run needs to know of the machine: its roofs, its prices and their sources."""

    title: str
    kind: str
    technology_nm: float
    units: int
    peak_macs_per_s: float
    """Dense, in the run's dtype."""
    bandwidth_bytes_per_s: Mapping[str, float]
    """By memory level, outermost first; levels that never limit are left out."""
    formats: Mapping[str, Mapping[str, int]]
    """Formats the machine reads, with the parameters it fixes."""
    energy_pj: Mapping[str, Mapping[str, float]]
    static_w: float
    numbers: Mapping[str, SourcedNumber]
    """By dotted path in the machine's file."""
    not_modelled: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One cause on the way from the ideal speed-up to the actual one."""

    name: str
    factor: float
    """What it multiplies the speed-up by; below one it costs, above one it helps."""
    meaning: str
    remedy: str
    """What would remove it; empty where nothing is to be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a speed-up went: ``ideal_speedup`` times the factors of all terms is ``speedup``."""

    model: str
    hardware: str
    pattern: str
    ideal_speedup: float
    """1 ÷ density of the pruned layers, weighted by their multiply-adds."""
    speedup: float
    terms: tuple[Term, ...]
    """From ideal to actual."""

    def _repr_html_(self) -> str:
        from importlib import import_module

        return str(import_module("simsparse.report.notebook").explanation_html(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A model on a machine: totals, the same machine's best dense execution, and every layer."""

    model: str
    hardware: str
    pattern: str
    format: str
    dtype: str
    batch: int
    seed: int
    engine: str
    criterion: str
    allocation: str
    tdp_w: float | None
    layers: tuple[LayerResult, ...]
    baseline_layers: tuple[LayerResult, ...]
    totals: Cost
    baseline: Cost
    baseline_name: str
    bound_by: str
    bound_share: float
    """Share of the run's time spent in layers bound by ``bound_by``."""
    asked_model: str = ""
    """What was typed for the model, such as a path; its name where it came as a value."""
    asked_pattern: str = ""
    """The pattern asked for; empty where the model's own zeros count."""
    approximations: tuple[str, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: MachineFacts | None = None
    explanation: Explanation | None = None

    @property
    def speedup(self) -> float:
        """Baseline time by time."""
        return _ratio(self.baseline.time_s, self.totals.time_s)

    @property
    def energy_ratio(self) -> float:
        """Baseline energy by energy."""
        return _ratio(self.baseline.energy_j, self.totals.energy_j)

    @property
    def memory_ratio(self) -> float:
        """Dense stored weights by stored weights with metadata."""
        return _ratio(self.baseline.stored_bytes, self.totals.stored_bytes)

    def _repr_html_(self) -> str:
        from importlib import import_module

        return str(import_module("simsparse.report.notebook").run_html(self))


def _ratio(dense: float, sparse: float) -> float:
    if sparse:
        return dense / sparse
    return 1.0 if not dense else float("inf")
