"""A study's lists become points: one model on one machine, pruned and stored in one way."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from simsparse.errors import FileError, SimsparseError, UsageError
from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.hardware_override import Value
from simsparse.load.phases import INFERENCE, loaded_phase
from simsparse.load.study_spec import ALL, AXES, StudySpec, axis_values, patterns

Model = str | Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run of a study, in words; its machine is found under ``hardware`` in :class:`Grid`."""

    model: str
    hardware: str
    """The machine's name, with its changed fields."""
    pattern: str
    format: str
    dtype: str
    batch: int | None = None
    seq: int | None = None
    activation_density: float | None = None
    criterion: str = "magnitude"
    allocation: str = "uniform"
    seed: int = 0
    skip: tuple[str, ...] = ()
    columns: int | None = None
    phase: str = INFERENCE
    purpose: str = "grid"
    """``grid``, or ``crossover`` where a bisection asked for it."""

    @property
    def masks(self) -> tuple[Any, ...]:
        """Points that agree in this have the same masks."""
        return (
            self.model,
            self.batch,
            self.seq,
            self.pattern,
            self.criterion,
            self.allocation,
            self.seed,
            self.skip,
            self.columns,
            self.phase,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Point:
        """Back from plain data."""
        return cls(**{**data, "skip": tuple(data["skip"])})

    def load(self) -> Workload:
        """The model, read anew.

        Raises
        ------
        UsageError
            If there is no such model, or a setting does not apply to it.
        """
        shape = {"batch": self.batch, "seq": self.seq, "columns": self.columns}
        return load_model(self.model, **shape, phase=loaded_phase(self.phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The points of a study in order, what they refer to, and combinations that make no sense."""

    points: tuple[Point, ...]
    models: Mapping[tuple[str, int | None, int | None], Workload] = field(repr=False)
    """By name, batch and seq."""
    machines: Mapping[str, HardwareModel] = field(repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why combinations were left out, and how many."""

    def workload(self, point: Point) -> Workload:
        """The model of a point."""
        return self.models[point.model, point.batch, point.seq]


def expand(
    spec: StudySpec,
    *,
    models: Mapping[str, Workload] | None = None,
    machines: Mapping[str, HardwareModel] | None = None,
) -> Grid:
    """All points of a study; names that ``models`` or ``machines`` give are not looked up.

    A format or dtype that only some of the machines know is left out on the others and counted.

    Raises
    ------
    UsageError
        If nothing is left, or a model or machine cannot be loaded; all such mistakes at once.
    """
    rows = [row for row in _rows(spec) if not _excluded(row, spec)]
    hardware, loaded = _load_all(rows, spec, models or {}, machines or {})
    left_out: Counter[str] = Counter()
    points: dict[Point, None] = {}
    for row in rows:
        machine = hardware[_variant(row, spec)]
        for name in _formats(row, spec, machine):
            reason = _unfit(row, name, machine)
            if reason:
                left_out[reason] += 1
                continue
            points[_point(row, name, machine, spec)] = None
    if not points:
        reasons = "; ".join(left_out) or (
            "all combinations are excluded" if spec.exclude else "a list is empty"
        )
        raise UsageError(f"study: expected at least one point, got none ({reasons})")
    named = {machine.name: machine for machine in hardware.values()}
    return Grid(points=tuple(points), models=loaded, machines=named, left_out=dict(left_out))


Row = dict[str, Any]
_Variant = tuple[str, tuple[tuple[str, Value], ...]]


def _rows(spec: StudySpec) -> Iterator[Row]:
    """The product of all lists, zipped ones in step."""
    groups: list[tuple[str, ...]] = []
    zipped = {name: group for group in spec.zip for name in group}
    for name in (*AXES[:2], *spec.set, *AXES[2:]):
        group = zipped.get(name, (name,))
        if group not in groups:
            groups.append(group)
    steps = [
        [
            dict(zip(group, values, strict=True))
            for values in zip(*(axis_values(spec, n) for n in group), strict=True)
        ]
        for group in groups
    ]
    for combination in itertools.product(*steps):
        yield {name: value for step in combination for name, value in step.items()}


def _excluded(row: Row, spec: StudySpec) -> bool:
    def agrees(name: str, values: Sequence[Value]) -> bool:
        listed = patterns([str(value) for value in values]) if name == "prune" else values
        return row[name] in listed

    return any(all(agrees(name, values) for name, values in rule.items()) for rule in spec.exclude)


def _variant(row: Row, spec: StudySpec) -> _Variant:
    return row["on"], tuple((path, row[path]) for path in spec.set)


def _load_all(
    rows: Sequence[Row],
    spec: StudySpec,
    models: Mapping[str, Workload],
    machines: Mapping[str, HardwareModel],
) -> tuple[dict[_Variant, HardwareModel], dict[tuple[str, int | None, int | None], Workload]]:
    wrong: list[str] = []
    hardware: dict[_Variant, HardwareModel] = {}
    loaded: dict[tuple[str, int | None, int | None], Workload] = {}
    for variant in dict.fromkeys(_variant(row, spec) for row in rows):
        try:
            hardware[variant] = _machine(variant, machines)
        except SimsparseError as error:
            wrong += error.mistakes if isinstance(error, FileError) else [str(error)]
    for key in dict.fromkeys((row["models"], row["batch"], row["seq"]) for row in rows):
        try:
            loaded[key] = models[key[0]] if key[0] in models else _load(*key, spec)
        except SimsparseError as error:
            wrong += error.mistakes if isinstance(error, FileError) else [str(error)]
    names = Counter(machine.name for machine in hardware.values())
    wrong += [
        f"on: expected machines of different names, got {count} called {name} (change name: in one of them)"
        for name, count in names.items()
        if count > 1
    ]
    if wrong:
        raise FileError(wrong)
    return hardware, loaded


def _load(model: str, batch: int | None, seq: int | None, spec: StudySpec) -> Workload:
    phase = loaded_phase(spec.phase)
    return load_model(model, batch=batch, seq=seq, columns=spec.columns, phase=phase)


def _machine(variant: _Variant, machines: Mapping[str, HardwareModel]) -> HardwareModel:
    from simsparse.load.hardware_override import override

    name, changes = variant
    if name in machines:
        return override(machines[name], dict(changes)) if changes else machines[name]
    return load_hardware(name, dict(changes))


def _formats(row: Row, spec: StudySpec, machine: HardwareModel) -> tuple[str, ...]:
    """The formats that a row stands for; excluded ones are gone from ``all``."""
    if row["format"] != ALL:
        return (row["format"],)
    return tuple(name for name in machine.formats if not _excluded({**row, "format": name}, spec))


def _unfit(row: Row, name: str, machine: HardwareModel) -> str:
    if name != "auto" and name not in machine.formats:
        return f"{machine.name} does not read {name}"
    if row["dtype"] is not None and row["dtype"] not in machine.macs_per_cycle:
        return f"{machine.name} does not compute in {row['dtype']}"
    return ""


def _point(row: Row, name: str, machine: HardwareModel, spec: StudySpec) -> Point:
    return Point(
        model=row["models"],
        hardware=machine.name,
        pattern=row["prune"] or "dense",
        format=name,
        dtype=row["dtype"] or machine.default_dtype,
        skip=spec.skip,
        columns=spec.columns,
        phase=spec.phase,
        **{
            key: row[key] for key in ("batch", "seq", "activation_density", "criterion", "allocation", "seed")
        },
    )


def with_pattern(point: Point, pattern: str) -> Point:
    """The same point in another pattern, asked for by a bisection."""
    return replace(point, pattern=pattern, purpose="crossover")
