"""A study in a terminal, as JSON and in a notebook: fronts, crossings, best formats, what failed."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.table import Table
from rich.text import Text

from simsparse.report.lists import print_list
from simsparse.report.plain import plain
from simsparse.units import percent, ratio, si

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

SCHEMA_VERSION = 1
SHOWN = 12
"""Rows of a table in a terminal; files and JSON have all."""
_UNITS = {"time_s": "s", "energy_j": "J", "stored_bytes": "B", "baseline_time_s": "s", "dense_s": "s"}
_HEADS = {
    "time_s": "time",
    "energy_j": "energy",
    "stored_bytes": "weights",
    "speedup": "speed-up",
    "weight_density": "density",
    "name": "layer",
    "bound_by": "bound by",
    "activation_density": "act. density",
    "dense_name": "dense library",
    "dense_s": "dense",
}
_ASKED = (
    "model",
    "hardware",
    "pattern",
    "format",
    "dtype",
    "batch",
    "seq",
    "activation_density",
    "criterion",
)


class StudyLike(Protocol):
    """What is told of a study."""

    def frame(self) -> pd.DataFrame: ...
    def pareto(self) -> pd.DataFrame: ...
    def crossovers(self) -> pd.DataFrame: ...
    def best_formats(self) -> pd.DataFrame: ...
    @property
    def failed(self) -> Sequence[tuple[Any, str]]: ...
    @property
    def missing(self) -> int: ...
    @property
    def left_out(self) -> dict[str, int]: ...
    @property
    def measured(self) -> Sequence[dict[str, Any]]: ...


def print_study(console: Console, study: StudyLike) -> None:
    """The answer first: how many points, the best; then the front, crossings and failures."""
    table = study.frame()
    for line in verdict(study):
        console.print(Text(line, style="bold"))
    front = study.pareto()
    if not front.empty and "time_s" in front:
        wanted = [name for name in _ASKED if name in table and _varies(table, name)]
        shown = [
            *wanted,
            "speedup",
            "time_s",
            "energy_j",
            "stored_bytes",
            *(["accuracy"] if "accuracy" in front else []),
        ]
        first = front.sort_values("time_s", kind="stable")
        _print_table(console, f"Pareto front ({len(front)} points that nothing beats)", first[shown])
    crossings = study.crossovers()
    if not crossings.empty:
        _print_table(console, "Pays from which sparsity on", _crossing_table(crossings))
    _print_measured(console, study.measured)
    print_list(console, "Failed", failures(study))
    left = [f"{reason} ({count} points)" for reason, count in study.left_out.items()]
    print_list(console, "Left out", left)


def _print_measured(console: Console, measured: Sequence[dict[str, Any]]) -> None:
    """Real executions, and what could not be executed."""
    import pandas as pd

    ran = [words for words in measured if words.get("time_s") is not None]
    if ran:
        table = pd.DataFrame(ran)
        wanted = ["model", "pattern", "format", "batch", "seq"]
        shown = [name for name in wanted if name not in ("batch", "seq") or _varies(table, name)]
        heads = [*shown, "time_s", "dense_s", "speedup", "dense_name"]
        _print_table(console, "Measured on this host", table[heads])
    refused = [
        f"{', '.join(plain(words[name]) for name in ('model', 'pattern', 'format'))}: {plain(words['error'])}"
        for words in measured
        if "error" in words
    ]
    print_list(console, "Not measured", refused)


def verdict(study: StudyLike) -> list[str]:
    """How much was computed, and the fastest point."""
    table = study.frame()
    failed, missing = len(study.failed), study.missing
    parts = [f"{len(table)} points"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{missing} not computed yet"] if missing else []
    lines = [f"{', '.join(parts)}."]
    if "speedup" in table and table["speedup"].notna().any():
        best = table.iloc[int(table["speedup"].argmax())]
        words = f"{plain(best['model'])} on {plain(best['hardware'])}"
        words = f"{words}, {plain(best['pattern'])}, {plain(best['format'])}"
        lines.append(f"Largest speed-up: {ratio(best['speedup'])} ({words}).")
    return lines


def failures(study: StudyLike) -> list[str]:
    """Points that failed, those with the same error together."""
    errors: dict[str, list[Any]] = {}
    for point, error in study.failed:
        errors.setdefault(error, []).append(point)
    return [
        f"{len(points)} points, first {plain(points[0].model)} on {plain(points[0].hardware)},"
        f" {plain(points[0].pattern)}: {plain(error)}"
        for error, points in errors.items()
    ]


def study_to_dict(study: StudyLike) -> dict[str, Any]:
    """A study as plain data; what is missing is None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "missing": study.missing,
        "left_out": dict(study.left_out),
        "points": records(study.frame()),
        "pareto": [int(index) for index in study.pareto().index],
        "crossovers": records(study.crossovers()),
        "best_formats": records(study.best_formats()),
        "measured": [dict(words) for words in study.measured],
    }


def study_html(study: StudyLike) -> str:
    """The verdict and the Pareto front for a notebook; all text escaped."""
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in verdict(study))
    front = study.pareto()
    shown = [
        name
        for name in (*_ASKED, "speedup", "time_s", "energy_j", "stored_bytes", "accuracy")
        if name in front
    ]
    body = front[shown].to_html(index=False, escape=True, max_rows=SHOWN * 2) if shown else ""
    return f"<div class='simsparse-study'>{lines}{body}</div>"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data."""
    return [
        {str(name): _plain_value(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def _plain_value(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _varies(table: pd.DataFrame, name: str) -> bool:
    """Whether a column tells points apart; a dtype that goes with the machine does not."""
    if name == "dtype":
        return bool(table.groupby("hardware")["dtype"].nunique().max() > 1)
    return bool(table[name].nunique(dropna=False) > 1)


def _crossing_table(crossings: pd.DataFrame) -> pd.DataFrame:
    table = crossings.sort_values(["model", "hardware", "family", "sparsity"], kind="stable")
    table = table.assign(sparsity=[_crossing(row["sparsity"], row["below"]) for _, row in table.iterrows()])
    return table[["model", "hardware", "format", "family", "sparsity"]]


def _crossing(sparsity: float, below: float) -> str:
    if math.isnan(sparsity):
        return f"not up to {percent(below)}"
    return percent(sparsity) if not math.isnan(below) else f"any (tried {percent(sparsity)})"


def _print_table(console: Console, title: str, table: pd.DataFrame) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in table.columns:
        text = table[name].dtype.kind == "O" or name in ("format", "pattern")
        shown.add_column(_HEADS.get(name, name), justify="left" if text else "right", overflow="fold")
    for row in table.head(SHOWN).to_dict("records"):
        shown.add_row(*(Text(_cell(str(name), value)) for name, value in row.items()))
    console.print(shown)
    if len(table) > SHOWN:
        console.print(Text(f"and {len(table) - SHOWN} more (--csv, --json)", style="dim"))


def _cell(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if name in _UNITS:
        return si(value, _UNITS[name])
    if name == "speedup":
        return ratio(value)
    return f"{value:g}" if isinstance(value, float) else plain(str(value))
