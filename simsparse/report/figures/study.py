"""Figures of a study: fronts, speed-up by format and sparsity, machines beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simsparse.report.figures.accuracy import accuracy_fronts
from simsparse.report.figures.figure import QUIET, SERIES, Figure, Trace, axis, label, layout, quantity_axis
from simsparse.report.figures.front import marks, rings
from simsparse.units import ratio, si, three_digits

if TYPE_CHECKING:
    import pandas as pd

MODELS, MAPS = 6, 12
"""Fronts and heat maps that are drawn; the table of points has all."""
_COSTS = ("time_s", "energy_j")
_NUMBERED = 40
"""Columns up to which cells of a heat map show their number."""


def study_figures(points: pd.DataFrame, front: pd.DataFrame) -> list[Figure]:
    """All figures of a study's successful ``points``; ``front`` holds those that no other beats."""
    if points.empty:
        return []
    return [*accuracy_fronts(points), _machines(points), *_fronts(points, front), *_maps(points)]


def _fronts(points: pd.DataFrame, front: pd.DataFrame) -> Iterator[Figure]:
    models = list(dict.fromkeys(points["model"]))
    for number, model in enumerate(models[:MODELS]):
        own = points[points["model"] == model]
        best = own.loc[own.index.isin(front.index)].sort_values("time_s")
        traces = []
        for index, machine in enumerate(dict.fromkeys(own["hardware"])):
            chosen = own[own["hardware"] == machine]
            colour = SERIES[index % len(SERIES)]
            traces.append(marks(label(machine), chosen, _COSTS, colour, _hover))
        traces.append(rings(best, _COSTS))
        fastest = best.iloc[0] if len(best) else own.sort_values("time_s").iloc[0]
        told = f"{len(best)} of {len(own)} points are beaten by none in time, energy and stored bytes"
        fast = f"the fastest is {label(_words(fastest), 90)} with {si(float(fastest['time_s']), 's')}"
        yield Figure(
            name=f"pareto-{number}",
            title=f"Time and energy: {model}",
            caption=f"{told}; {fast}.",
            alternative=f"Scatter of energy against time for {len(own)} points of {model}. {told}.",
            spec={
                "data": traces,
                "layout": layout(
                    xaxis=quantity_axis("s", "time", type="log", dtick="D2"),
                    yaxis=quantity_axis("J", "energy", type="log", dtick="D2"),
                ),
            },
            height=440,
            wide=len(models) == 1 or (number == len(models) - 1 and number % 2 == 0),
        )


def _hover(row: Any) -> str:
    return (
        f"<b>{label(_words(row), 90)}</b><br>{si(row['time_s'], 's')}, {si(row['energy_j'], 'J')}"
        f"<br>{ratio(row['speedup'])} the speed of dense"
    )


def _words(row: Any) -> str:
    return f"{row['pattern']} as {row['format']} on {row['hardware']}"


def _maps(points: pd.DataFrame) -> Iterator[Figure]:
    groups = list(points.groupby(["model", "hardware"], sort=False))
    for number, (key, own) in enumerate(groups[:MAPS]):
        model, machine = (str(part) for part in key)
        table = own.pivot_table(
            index="format", columns="pattern", values="speedup", aggfunc="max", sort=False
        )
        best = own.sort_values("speedup").iloc[-1]
        pays = int((own["speedup"] > 1.0).sum())
        told = f"{pays} of {len(own)} points are faster than dense"
        top = f"best is {ratio(float(best['speedup']))} with {best['pattern']} as {best['format']}"
        yield Figure(
            name=f"map-{number}",
            title=f"Speed-up: {model} on {machine}",
            caption=f"{told}; {label(top, 120)}. Blue is faster than dense on this machine, orange slower.",
            alternative=f"Heat map of speed-up by format and pattern, {model} on {machine}. {told}; {top}.",
            spec={"data": [_heat(table)], "layout": _heat_layout()},
            height=130 + 30 * len(table.index),
            wide=len(groups) == 1 or (number == len(groups[:MAPS]) - 1 and number % 2 == 0),
        )


def _heat(table: pd.DataFrame) -> Trace:
    values = table.to_numpy().tolist()
    reach = max((abs(math.log2(v)) for row in values for v in row if _shown(v)), default=0.0) or 1.0
    trace: Trace = {
        "type": "heatmap",
        "x": [label(str(name), 22) for name in table.columns],
        "y": [label(str(name), 22) for name in table.index],
        "z": [[math.log2(v) if _shown(v) else None for v in row] for row in values],
        "text": [[three_digits(v) if _shown(v) else "" for v in row] for row in values],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0.0, "@c2"], [0.5, "@card"], [1.0, "@c5"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "%{y}, %{x}: %{text}x<extra></extra>",
    }
    return trace | ({"texttemplate": "%{text}"} if len(table.columns) <= _NUMBERED else {})


def _shown(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _heat_layout() -> dict[str, Any]:
    return layout(
        xaxis=axis("", type="category", tickangle=-35, showgrid=False),
        yaxis=axis("", type="category", autorange="reversed", showgrid=False),
    )


def _machines(points: pd.DataFrame) -> Figure:
    """The best speed-up that each machine reaches with any pattern and format, by model."""
    best = points.loc[points.groupby(["model", "hardware"], sort=False)["speedup"].idxmax()]
    traces = []
    for index, model in enumerate(dict.fromkeys(best["model"])):
        own = best[best["model"] == model]
        traces.append(
            {
                "type": "bar",
                "name": label(str(model)),
                "x": [label(str(name)) for name in own["hardware"]],
                "y": own["speedup"].tolist(),
                "marker": {"color": SERIES[index % len(SERIES)], "line": {"width": 0}},
                "hovertext": [
                    f"<b>{label(str(model))}: {ratio(row['speedup'])}</b><br>{label(_words(row), 90)}"
                    f"<br>{si(row['time_s'], 's')}, {si(row['energy_j'], 'J')}"
                    for row in own.to_dict("records")
                ],
                "hoverinfo": "text",
            }
        )
    machines = list(dict.fromkeys(best["hardware"]))
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "dense",
            "x": [label(str(name)) for name in machines],
            "y": [1.0] * len(machines),
            "line": {"color": QUIET, "dash": "dash", "width": 1},
            "hoverinfo": "skip",
        }
    )
    top = best.sort_values("speedup").iloc[-1]
    told = f"{ratio(float(top['speedup']))} is the most, {top['model']} with {_words(top)}"
    return Figure(
        name="machines",
        title="Best speed-up by machine",
        caption=f"With any pattern and format of the study; {label(told, 140)}.",
        alternative=f"Bars of the best speed-up of {len(machines)} machines. {told}.",
        spec={
            "data": traces,
            "layout": layout(
                barmode="group",
                xaxis=axis("", type="category"),
                yaxis=axis("speed-up", ticksuffix="×"),
                bargap=0.3,
            ),
        },
        wide=True,
    )
