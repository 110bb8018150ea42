"""A study as one self-contained HTML page, from its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simsparse.report.figures.study import study_figures
from simsparse.report.page import render
from simsparse.report.plain import plain
from simsparse.units import percent, ratio, si

if TYPE_CHECKING:
    import pandas as pd

_WORDS = (
    "model",
    "hardware",
    "pattern",
    "format",
    "dtype",
    "batch",
    "seq",
    "criterion",
    "bound_by",
    "status",
)
_NUMBERS = {
    "speedup": ("speed-up", ratio),
    "energy_ratio": ("energy ratio", ratio),
    "time_s": ("time", lambda value: si(value, "s")),
    "energy_j": ("energy", lambda value: si(value, "J")),
    "stored_bytes": ("weights", lambda value: si(value, "B")),
    "accuracy": ("accuracy", lambda value: f"{value:.4g}"),
    "measured_time_s": ("measured here", lambda value: si(value, "s")),
    "measured_speedup": ("measured speed-up", ratio),
}
_OK = "ok"


def study_html(
    points: pd.DataFrame,
    front: pd.DataFrame,
    crossovers: pd.DataFrame,
    *,
    title: str,
    missing: int = 0,
) -> str:
    """The page of a study, as text.

    Parameters
    ----------
    points
        A row per point with what was asked and its figures; ``status`` is ``ok`` where it has any.
    front
        The rows of ``points`` that no other beats.
    crossovers
        From which sparsity on each format pays.
    missing
        Points that were not computed yet.
    """
    good = points[points["status"] == _OK] if "status" in points else points
    failed = points[points["status"] != _OK] if "status" in points else points.iloc[:0]
    return render(
        "study.html",
        title=title,
        figures=study_figures(good, front) if "time_s" in good else [],
        heading=plain(title),
        summary=_summary(good, failed, missing),
        tiles=_tiles(good),
        crossovers=_crossovers(crossovers),
        points=_points(points),
        failed=[plain(f"{_asked(row)}: {row.get('error', '')}") for row in failed.to_dict("records")],
    )


def _summary(good: pd.DataFrame, failed: pd.DataFrame, missing: int) -> str:
    parts = [f"{len(good)} points"]
    if len(failed):
        parts.append(f"{len(failed)} that cannot be simulated")
    if missing:
        parts.append(f"{missing} not computed yet")
    if good.empty or "speedup" not in good:
        return f"{', '.join(parts)}."
    pays = int((good["speedup"] > 1.0).sum())
    best = _first(good, "speedup", largest=True)
    return plain(
        f"{', '.join(parts)}. {pays} are faster than the best dense execution on their machine;"
        f" most of all {_asked(best)}: {ratio(best['speedup'])}."
    )


def _tiles(good: pd.DataFrame) -> list[dict[str, Any]]:
    if good.empty or "speedup" not in good:
        return []

    def tile(name: str, row: Mapping[Any, Any], value: float, text: str) -> dict[str, Any]:
        return {
            "name": name,
            "value": repr(value),
            "text": text,
            "mood": "even",
            "detail": plain(_asked(row)),
        }

    speed = _first(good, "speedup", largest=True)
    energy = _first(good, "energy_ratio", largest=True)
    fastest = _first(good, "time_s", largest=False)
    smallest = _first(good, "stored_bytes", largest=False)
    return [
        tile("Largest speed-up", speed, speed["speedup"], ratio(speed["speedup"])),
        tile("Most energy saved", energy, energy["energy_ratio"], ratio(energy["energy_ratio"])),
        tile("Fastest", fastest, fastest["time_s"], si(fastest["time_s"], "s")),
        tile("Smallest", smallest, smallest["stored_bytes"], si(smallest["stored_bytes"], "B")),
    ]


def _first(table: pd.DataFrame, figure: str, *, largest: bool) -> Mapping[Any, Any]:
    """The row with the largest or smallest figure."""
    return table.sort_values(figure, ascending=not largest, kind="stable").iloc[0].to_dict()


def _asked(row: Mapping[Any, Any]) -> str:
    return f"{row['model']}, {row['pattern']} as {row['format']} on {row['hardware']}"


def _crossovers(table: pd.DataFrame) -> dict[str, Any] | None:
    if table.empty:
        return None
    words = [name for name in ("model", "hardware", "format", "dtype", "family") if name in table]
    rows = []
    for row in table.to_dict("records"):
        text = "not up to what was tried" if math.isnan(row["sparsity"]) else percent(row["sparsity"])
        if not math.isnan(row["sparsity"]) and math.isnan(row["below"]):
            text = f"at once (least tried {text})"
        value = "" if math.isnan(row["sparsity"]) else repr(row["sparsity"])
        rows.append([*(_word(row[name]) for name in words), {"value": value, "text": text}])
    return {
        "name": "crossovers",
        "title": "From which sparsity on it pays",
        "hint": "machine, format",
        "file": "crossovers.csv",
        "columns": [*_columns(words), {"key": "sparsity", "title": "pays from", "number": True}],
        "rows": rows,
        "note": "Where the execution becomes faster than the best dense one on the same machine.",
    }


def _points(table: pd.DataFrame) -> dict[str, Any]:
    words = [name for name in _WORDS if name in table]
    numbers = [name for name in _NUMBERS if name in table]
    rows = [
        [*(_word(row[name]) for name in words), *(_number(name, row[name]) for name in numbers)]
        for row in table.to_dict("records")
    ]
    heads = [{"key": name, "title": _NUMBERS[name][0], "number": True} for name in numbers]
    return {
        "name": "points",
        "title": "Points",
        "hint": "model, machine, format",
        "file": "points.csv",
        "columns": [*_columns(words), *heads],
        "rows": rows,
        "note": "",
    }


def _columns(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"key": name, "title": name.replace("_", " "), "number": False} for name in names]


def _word(value: Any) -> dict[str, str]:
    text = "" if value is None or value != value else plain(str(value))
    return {"value": text, "text": text}


def _number(name: str, value: Any) -> dict[str, str]:
    if value is None or not math.isfinite(value):
        return {"value": "", "text": ""}
    return {"value": repr(value), "text": _NUMBERS[name][1](value)}
