"""Accuracy against what it costs: a front for each model on each machine, in time and in energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simsparse.report.figures.figure import SERIES, Figure, axis, label, layout, quantity_axis
from simsparse.report.figures.front import marks, rings
from simsparse.units import si, three_digits

if TYPE_CHECKING:
    import pandas as pd

GROUPS = 12
"""Models on machines that are drawn; the table of points has all."""
_COSTS = (("time_s", "s", "time"), ("energy_j", "J", "energy"))
_OTHERS, _AUTO = "others", "auto"
_WIDE = 10.0


def accuracy_fronts(points: pd.DataFrame) -> list[Figure]:
    """Two figures per model and machine whose ``points`` have an ``accuracy``; a colour per criterion."""
    if "accuracy" not in points:
        return []
    known = points[points["accuracy"].notna()]
    groups = list(known.groupby(["model", "hardware"], sort=False))[:GROUPS]
    return [
        _front(own, f"accuracy-{number}", str(model), str(machine), cost)
        for number, ((model, machine), own) in enumerate(groups)
        for cost in _COSTS
    ]


def best_at_cost(points: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The points that no other beats in both ``cost`` and accuracy, the cheapest first."""
    ordered = points.sort_values([cost, "accuracy"], ascending=[True, False], kind="stable")
    before = ordered["accuracy"].astype(float).cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["accuracy"] > before]


def _front(own: pd.DataFrame, name: str, model: str, machine: str, cost: tuple[str, str, str]) -> Figure:
    figure, unit, word = cost
    axes = (figure, "accuracy")
    best = best_at_cost(own, figure)
    traces = [marks(label(text), table, axes, colour, _hover) for text, table, colour in _series(own)]
    line = {"color": "@text", "width": 1, "shape": "hv", "dash": "dot"}
    traces.append(rings(best, axes, mode="lines+markers", line=line))
    last = best.iloc[-1]
    told = f"{len(best)} of {len(own)} points are beaten by none in accuracy and {word}"
    top = f"the most accurate reaches {three_digits(last['accuracy'])} with {label(_words(last), 90)}"
    return Figure(
        name=f"{name}-{word}",
        title=f"Accuracy and {word}: {model} on {machine}",
        caption=f"{told}; {top} for {si(float(last[figure]), unit)}.",
        alternative=f"Scatter of accuracy against {word} for {len(own)} points. {told}.",
        spec={
            "data": traces,
            "layout": layout(xaxis=_cost_axis(own[figure], unit, word), yaxis=axis("accuracy")),
        },
        height=400,
    )


def _cost_axis(costs: pd.Series[float], unit: str, word: str) -> dict[str, Any]:
    """Logarithmic where costs are so far apart that it has several labels, else linear."""
    least, most = float(costs.min()), float(costs.max())
    if least > 0 and most > _WIDE * least:
        return quantity_axis(unit, word, type="log", dtick="D2")
    middle, reach = (least + most) / 2, max(0.6 * (most - least), 0.05 * most)
    return quantity_axis(unit, word, range=[middle - reach, middle + reach])


def _series(own: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """The points of each criterion, or of each format where there is one criterion; colours do not repeat."""
    by = "criterion" if "criterion" in own and own["criterion"].nunique() > 1 else "format"
    names = list(dict.fromkeys(own[by]))
    for index, name in enumerate(names[: len(SERIES) - 1]):
        yield str(name), own[own[by] == name], SERIES[index]
    rest = own[own[by].isin(names[len(SERIES) - 1 :])]
    if len(rest):
        yield _OTHERS, rest, SERIES[-1]


def _hover(row: Any) -> str:
    costs = f"{si(row['time_s'], 's')}, {si(row['energy_j'], 'J')}"
    return f"<b>{label(_words(row), 90)}</b><br>accuracy {three_digits(row['accuracy'])}<br>{costs}"


def _words(row: Any) -> str:
    criterion = f" by {row['criterion']}" if row.get("criterion") else ""
    stored = "" if row["format"] == _AUTO else f" as {row['format']}"
    return f"{row['pattern']}{criterion}{stored}"
