"""The door: a study's lists to a computed :class:`Study`, or a folder back to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simsparse.errors import FileError, UsageError
from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.load.hardware_override import Value
from simsparse.load.phases import INFERENCE, Phase
from simsparse.load.study_spec import StudySpec, mistakes
from simsparse.sweep.accuracy import load_accuracy
from simsparse.sweep.chunk import Keyed
from simsparse.sweep.chunking import chunks
from simsparse.sweep.crossover import next_points
from simsparse.sweep.driver import drive
from simsparse.sweep.executors import Workers, workers
from simsparse.sweep.figures import OK, Row
from simsparse.sweep.keys import Keys, model_digest
from simsparse.sweep.measuring import measure_points, measured_points
from simsparse.sweep.points import Grid, Point, expand
from simsparse.sweep.store import Store
from simsparse.sweep.study import Study, speedups
from simsparse.sweep.warm import warm

Notice = Callable[[int, int, int], None]
"""Is told how many points are done, of how many, and how many of them failed."""


def sweep(
    models: str | Workload | Sequence[str | Workload],
    *,
    on: str | HardwareModel | Sequence[str | HardwareModel],
    prune: str | Sequence[str] = (),
    format: str | Sequence[str] = "auto",  # noqa: A002  (the public word for it)
    dtype: str | Sequence[str] = (),
    batch: int | Sequence[int] = (),
    seq: int | Sequence[int] = (),
    activation_density: float | Sequence[float] = (),
    criterion: str | Sequence[str] = "magnitude",
    allocation: str | Sequence[str] = "uniform",
    seed: int | Sequence[int] = 0,
    set: Mapping[str, Value | Sequence[Value]] | None = None,  # noqa: A002
    zip: Sequence[Sequence[str]] = (),  # noqa: A002
    exclude: Sequence[Mapping[str, Value | Sequence[Value]]] = (),
    skip: Sequence[str] = (),
    columns: int | None = None,
    phase: Phase = INFERENCE,
    crossover: bool = True,
    accuracy: str | Path | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    jobs: int | None = None,
    executor: str | None = None,
    notice: Notice | None = None,
    measure: bool = False,
) -> Study:
    """Simulate every combination of the lists, and bisect where sparsity starts to pay.

    Parameters
    ----------
    models, on
        Names, files or values; see `simsparse.simulate`.
    prune
        Patterns; ``unstructured:0.5:0.98:7`` stands for seven sparsities.
    format
        Formats; ``all`` stands for every format a machine reads.
    set
        Fields of the machines by dotted path, each with the values to try: ``{"units": [64, 256]}``.
    zip, exclude
        Lists that are walked in step, and combinations that are left out.
    columns, phase
        Of all points, as `simsparse.simulate` takes them; a training step is one with Adam, dense gradients.
    crossover
        Whether to look between sparsities for the one from which on a format pays.
    accuracy
        A CSV file of accuracies for :meth:`Study.pareto`.
    folder
        Where results are kept; in memory only without one.
    resume
        Add to a folder that holds another study. The same study is always continued.
    jobs
        Processes, one per core by default; on Dask the workers to wait for. In a script, call from under
        ``if __name__ == "__main__"``.
    executor
        ``serial``, ``processes`` or ``dask://host:port``.
    measure
        Also execute each model, pattern and format on this host, alone, after everything else.

    Raises
    ------
    UsageError
        If a name, number or combination cannot be used, or the folder holds another study.
    """
    given = {_name(model): model for model in _listed(models) if not isinstance(model, str)}
    machines = {_name(machine): machine for machine in _listed(on) if not isinstance(machine, str)}
    spec = StudySpec(
        models=tuple(_name(model) for model in _listed(models)),
        on=tuple(_name(machine) for machine in _listed(on)),
        prune=_listed(prune),
        format=_listed(format),
        dtype=_listed(dtype),
        batch=_listed(batch),
        seq=_listed(seq),
        activation_density=tuple(float(value) for value in _listed(activation_density)),
        criterion=_listed(criterion),
        allocation=_listed(allocation),
        seed=_listed(seed),
        set={path: _listed(values) for path, values in (set or {}).items()},
        zip=tuple(tuple(group) for group in zip),
        exclude=tuple({name: _listed(values) for name, values in rule.items()} for rule in exclude),
        skip=tuple(skip),
        columns=columns,
        phase=phase,
        measure=measure,
    )
    check(spec, known=(*given, *machines))
    grid = expand(spec, models=given, machines=machines)
    if any(workload.weights for workload in given.values()):
        executor = "serial"  # weights in memory stay where they are
    return run(
        grid,
        workers(executor, jobs),
        values=given,
        crossover=crossover,
        accuracy=accuracy,
        folder=None if folder is None else Path(folder),
        resume=resume,
        notice=notice,
        measure=measure,
    )


def check(spec: StudySpec, known: Iterable[str] = ()) -> None:
    """Raise for names and numbers in the lists that cannot be used, all at once.

    Raises
    ------
    FileError
        With one line for each.
    """
    passed = {*known}
    lines = [
        f"{place[0]}: {text}".replace(f"{place[0]}: {place[0]}: ", f"{place[0]}: ")
        for place, text in mistakes(spec)
        if not (len(place) == 2 and isinstance(place[1], int) and _at(spec, place) in passed)
    ]
    if lines:
        raise FileError(lines)


def run(
    grid: Grid,
    where: Workers,
    *,
    values: Mapping[str, Workload] | None = None,
    crossover: bool = True,
    accuracy: str | Path | None = None,
    folder: Path | None = None,
    resume: bool = False,
    notice: Notice | None = None,
    measure: bool = False,
) -> Study:
    """Compute what is missing of a grid, and its crossings, and give back the study.

    Raises
    ------
    UsageError
        If the folder holds another study and ``resume`` is not set, or the accuracies are wrong.
    """
    table = None if accuracy is None else load_accuracy(accuracy, grid.points)
    with Store(folder, write=True) as store:
        session = _Session(grid, store, where, values or {}, notice)
        try:
            session.admit(resume)
            session.compute(grid.points)
            while crossover and session.compute(next_points(session.speedups())):
                pass
        finally:
            where.close()
        measured = measure_points(grid.points, store) if measure else ()
        return Study(
            points=tuple(session.points.items()),
            rows={key: row for key, row in store.rows().items() if key in session.points},
            folder=folder,
            left_out=dict(grid.left_out),
            accuracy=table,
            measured=tuple(measured),
        )


def open_study(folder: str | Path, *, accuracy: str | Path | None = None) -> Study:
    """The study in a folder as far as it is computed, also while another process computes it.

    Raises
    ------
    FileError
        If the folder holds no study, or one of another schema.
    """
    with Store(Path(folder)) as store:
        points = store.points()
        table = None if accuracy is None else load_accuracy(accuracy, [point for _, point in points])
        return Study(
            points=tuple(points),
            rows=store.rows(),
            folder=Path(folder),
            accuracy=table,
            left_out=store.noted("left_out") or {},
            measured=tuple(measured_points(store)),
        )


@dataclasses.dataclass
class _Session:
    """One driver at work: its points by key, and what is done."""

    grid: Grid
    store: Store
    where: Workers
    values: Mapping[str, Workload]
    notice: Notice | None
    points: dict[str, Point] = dataclasses.field(default_factory=dict)
    finished: int = 0
    failures: int = 0

    def __post_init__(self) -> None:
        self.keys = Keys(self.grid)
        self.digests = {name: model_digest(workload) for name, workload in self.grid.models.items()}

    def admit(self, resume: bool) -> None:
        """Refuse a folder with another study, unless it is to grow."""
        asked = {self.keys.key(point): point for point in self.grid.points}
        there = [key for key, point in self.store.points() if point.purpose == "grid"]
        other = asked.keys() - set(there)
        if there and other and not resume:
            shared = f"{len(asked) - len(other)} of these {len(asked)}"
            raise UsageError(
                f"{self.store.folder}: expected a new folder or the same study, got one of"
                f" {len(there)} points, {shared} among them"
                " (add --resume to compute the rest too, or choose another folder)"
            )
        self.store.note("left_out", dict(self.grid.left_out))

    def compute(self, points: Iterable[Point]) -> int:
        """Compute points that are not known yet; how many there were to look at."""
        keyed = [(self.keys.key(point), point) for point in points]
        fresh = [(key, point) for key, point in keyed if key not in self.points]
        self.points.update(fresh)
        self.store.register(fresh)
        done = self.store.done()
        missing = [(key, point) for key, point in fresh if key not in done]
        self.finished += len(fresh) - len(missing)
        self._tell()
        if missing:
            self._drive(missing)
        return len(fresh)

    def speedups(self) -> list[tuple[Point, float]]:
        """Points and their speed-ups so far."""
        return list(speedups(list(self.points.items()), self.store.rows()))

    def _drive(self, missing: Sequence[Keyed]) -> None:
        found = chunks(missing, self.grid, self.digests, workers=self.where.count, values=self.values)
        if self.where.count > 1:
            warm(self.grid, [point for _, point in missing])
        drive(found, self.where, self._deliver)

    def _deliver(self, rows: list[Row]) -> None:
        self.store.add(rows)
        self.finished += len(rows)
        self.failures += sum(row.status != OK for row in rows)
        self._tell()

    def _tell(self) -> None:
        if self.notice is not None:
            self.notice(self.finished, len(self.points), self.failures)


def _at(spec: StudySpec, place: tuple[str | int, ...]) -> Any:
    return getattr(spec, str(place[0]))[place[1]]


def _listed(value: Any) -> tuple[Any, ...]:
    single = isinstance(value, str | int | float | Workload | HardwareModel)
    return (value,) if single else tuple(value)


def _name(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.name)
