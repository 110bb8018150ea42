"""What a study found: every point with its figures, and the questions one asks of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import UsageError, nearest
from simsparse.load.phases import INFERENCE
from simsparse.sweep.accuracy import Accuracy
from simsparse.sweep.crossover import Crossover, crossovers
from simsparse.sweep.figures import OK, Row, layer_columns
from simsparse.sweep.measuring import Asked, asked
from simsparse.sweep.pareto import front
from simsparse.sweep.points import Point

if TYPE_CHECKING:
    import pandas as pd

OBJECTIVES = ("time_s", "energy_j", "stored_bytes")
_PER_MODEL = ("model", "batch", "seq")
_PLAIN = {
    "batch": "",
    "seq": "",
    "columns": "",
    "phase": INFERENCE,
    "activation_density": "",
    "error": "",
}
"""Columns that are left out of the table where they hold nothing else in any row."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Points in order with their results; a point without one was not computed yet."""

    points: tuple[tuple[str, Point], ...]
    rows: dict[str, Row] = field(repr=False)
    folder: Path | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    measured: tuple[dict[str, Any], ...] = ()
    """Real executions on this host: what was asked, and times in seconds beside the best dense library, or
    the ``error`` that kept a model from running.
    """

    @property
    def grid(self) -> list[tuple[Point, Row]]:
        """The points that were asked for and have a result or an error."""
        return [
            (point, self.rows[key])
            for key, point in self.points
            if key in self.rows and point.purpose == "grid"
        ]

    @property
    def failed(self) -> list[tuple[Point, str]]:
        """Points without a result, each with the reason."""
        return [(point, row.error) for point, row in self.grid if row.status != OK]

    @property
    def missing(self) -> int:
        """Points that were not computed yet."""
        return sum(key not in self.rows for key, point in self.points if point.purpose == "grid")

    def frame(self, *, crossovers: bool = False) -> pd.DataFrame:
        """One row per point, in the study's order: what was asked, figures, ``status`` and ``error``.

        ``stored_bytes`` is weights with metadata. Where the study was measured too, ``measured_time_s``,
        ``measured_dense_s`` and ``measured_speedup`` are those of the same model, pattern and format on this
        host, whatever the machine of the point. With ``crossovers`` the points of bisections follow.
        """
        import pandas as pd

        measured = {asked(words): words for words in self.measured}
        records = [
            _record(point, self.rows[key], self.accuracy) | _measured(point, measured)
            for key, point in self.points
            if key in self.rows and (crossovers or point.purpose == "grid")
        ]
        table = pd.DataFrame(records)
        if not crossovers and not table.empty:
            table = table.drop(columns="purpose")
        empty = [name for name, plain in _PLAIN.items() if name in table and _is_all(table[name], plain)]
        return table.drop(columns=empty)

    def layers(self) -> pd.DataFrame:
        """One row per point and layer; ``point`` is the row of :meth:`frame`."""
        import pandas as pd

        tables = []
        for index, (point, row) in enumerate(self.grid):
            if row.status == OK:
                table = pd.DataFrame(layer_columns(row))
                table.insert(0, "point", index)
                for name in ("format", "pattern", "hardware", "model"):
                    table.insert(1, f"asked_{name}", getattr(point, name))
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def pareto(self, objectives: Sequence[str] | None = None) -> pd.DataFrame:
        """The points of :meth:`frame` that no other point of the same model beats in all ``objectives``.

        Smaller is better, larger for ``accuracy``, ``speedup`` and the other ratios. By default time, energy
        and stored bytes, and accuracy where a table of it was given.

        Raises
        ------
        UsageError
            If there is no such figure.
        """
        table = self.frame()
        if table.empty or "time_s" not in table:
            return table
        table = table[table["status"] == OK]
        given = "accuracy" in table
        names = list(objectives or (*OBJECTIVES, *(("accuracy",) if given else ())))
        for name in names:
            if name not in table or table[name].dtype.kind not in "fi":
                near = nearest(name, [str(column) for column in table.columns])
                out = f"did you mean {near[0]}?" if near else f"such as {', '.join(OBJECTIVES)}"
                raise UsageError(f'pareto: expected a figure of the study, got "{name}" ({out})')
        groups = [name for name in _PER_MODEL if name in table]
        kept = [
            members.index[row]
            for _, members in table.groupby(groups, dropna=False, sort=False)
            for row in front(((members[names] * _signs(names)).fillna(float("inf"))).to_numpy().tolist())
        ]
        return table.loc[sorted(kept)]

    @cached_property
    def _speedups(self) -> list[tuple[Point, float]]:
        return list(speedups(self.points, self.rows))

    def crossovers(self) -> pd.DataFrame:
        """From which sparsity on each format pays on each machine, for every kind of pattern with a number.

        ``sparsity`` is exact to half the distance of ``below`` and ``above``; it is missing where the format
        does not pay up to the largest sparsity tried.
        """
        import pandas as pd

        found = crossovers(self._speedups)
        names = ("model", "hardware", "format", "dtype", "family", "sparsity", "below", "above")
        table = pd.DataFrame(
            [{name: getattr(one, name) for name in names} for one in found], columns=list(names)
        )
        return table.astype(dict.fromkeys(("sparsity", "below", "above"), float))  # None becomes NaN

    def crossings(self) -> list[Crossover]:
        """The values behind :meth:`crossovers`."""
        return crossovers(self._speedups)

    def best_formats(self) -> pd.DataFrame:
        """The fastest format of each layer with weights, for each model, machine and pattern of the study."""
        table = self.layers()
        if table.empty:
            return table
        table = table[table["format"] != ""]
        groups = ["asked_model", "asked_hardware", "asked_pattern", "name"]
        best = table.loc[table.groupby(groups, sort=False)["time_s"].idxmin()]
        best = best.assign(speedup=best["baseline_time_s"] / best["time_s"])
        shown = [
            *groups,
            "count",
            "format",
            "weight_density",
            "time_s",
            "speedup",
            "energy_j",
            "stored_bytes",
            "bound_by",
        ]
        return (
            best[shown].rename(columns=lambda name: str(name).removeprefix("asked_")).reset_index(drop=True)
        )

    def to_csv(self, path: str | Path) -> None:
        """Write :meth:`frame` as CSV; numbers keep all their digits."""
        self.frame().to_csv(path, index=False, lineterminator="\n")

    def to_parquet(self, path: str | Path) -> None:
        """Write :meth:`frame` as Parquet.

        Raises
        ------
        UsageError
            If pyarrow is not installed.
        """
        try:
            import_module("pyarrow")
        except ImportError:
            raise UsageError(
                "parquet: expected the package pyarrow, got none (pip install simsparse[parquet])"
            ) from None
        self.frame().to_parquet(path, index=False, engine="pyarrow")

    def _repr_html_(self) -> str:
        from simsparse.report.study import study_html

        return study_html(self)


def speedups(points: Sequence[tuple[str, Point]], rows: dict[str, Row]) -> Iterator[tuple[Point, float]]:
    """Points that have a speed-up, with it; 0 where no layer could be stored in the format."""
    for key, point in points:
        row = rows.get(key)
        if row is not None and row.status == OK:
            figures = json.loads(row.figures)
            value = float("inf") if figures["speedup"] is None else figures["speedup"]
            yield point, value if figures["format_share"] else 0.0


def _record(point: Point, row: Row, accuracy: Accuracy | None) -> dict[str, Any]:
    record = {name: value for name, value in point.to_dict().items() if name != "skip"}
    figures = json.loads(row.figures) if row.figures else {}
    figures.pop("approximations", None)
    if figures:
        figures["stored_bytes"] = figures["weight_bytes"] + figures["metadata_bytes"]
    if accuracy is not None:
        figures["accuracy"] = accuracy.of(point)
    return {**record, "status": row.status, "error": row.error, **figures}


def _measured(point: Point, measured: Mapping[Asked, Mapping[str, Any]]) -> dict[str, Any]:
    """What a point's model took on this host; nothing in a study that was not measured."""
    if not measured:
        return {}
    found = measured.get(asked(point.to_dict()), {})
    return {f"measured_{name}": found.get(name, float("nan")) for name in ("time_s", "dense_s", "speedup")}


def _is_all(column: pd.Series[Any], plain: str) -> bool:
    return bool((column.isna() | (column == plain)).all())


def _signs(names: Sequence[str]) -> list[float]:
    larger = {"accuracy", "speedup", "energy_ratio", "memory_ratio", "measured_speedup"}
    return [-1.0 if name in larger else 1.0 for name in names]
