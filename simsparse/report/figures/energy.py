"""Energy by component, in total beside the dense execution and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from simsparse.report.figures.energy_groups import GROUPS, grouped_j
from simsparse.report.figures.figure import (
    SERIES,
    Figure,
    Trace,
    axis,
    label,
    layer_axis,
    layout,
    quantity_axis,
    shown_layers,
)
from simsparse.results import LayerResult, Run
from simsparse.units import percent, si


def energy_total(run: Run) -> Figure:
    """Dense and sparse execution as two stacked bars."""
    sums = {"dense": _sums(run, run.baseline_layers), "sparse": _sums(run, run.layers)}
    traces = []
    for group, colour in zip(GROUPS, SERIES, strict=True):
        values = [sums[name].get(group, 0.0) for name in sums]
        if any(values):
            traces.append(_bar(group, colour, values, list(sums), orientation="h"))
    ours, dense = run.totals.energy_j, run.baseline.energy_j
    largest = max(sums["sparse"], key=lambda group: sums["sparse"][group], default="")
    share = percent(sums["sparse"].get(largest, 0.0) / ours) if ours else "0 %"
    return Figure(
        name="energy-total",
        title="Energy by component",
        caption=f"{largest} takes {share} of the {si(ours, 'J')} of this run; dense needs {si(dense, 'J')}.",
        alternative="Two stacked bars of energy by component. "
        + " ".join(
            f"{name}: "
            + ", ".join(f"{group} {si(value, 'J')}" for group, value in parts.items() if value)
            + "."
            for name, parts in sums.items()
        ),
        spec={
            "data": traces,
            "layout": layout(
                barmode="stack",
                xaxis=quantity_axis("J"),
                yaxis=axis("", autorange="reversed", showgrid=False),
                bargap=0.35,
            ),
        },
        height=240,
        wide=True,
    )


def energy_by_layer(run: Run) -> Figure:
    """One stacked bar per layer; those below a thousandth of the whole are left out."""
    parts = [grouped_j(layer, run.machine) for layer in run.layers]
    shown = shown_layers(run.layers, [sum(part.values()) for part in parts])
    names = [run.layers[index].name for index in shown]
    traces = []
    for group, colour in zip(GROUPS, SERIES, strict=True):
        values = [parts[index].get(group, 0.0) for index in shown]
        if any(values):
            traces.append(_bar(group, colour, values, names))
    left_out = len(run.layers) - len(shown)
    rest = f" {left_out} layers with less than 0.1 % each are left out." if left_out else ""
    top = max(shown, key=lambda index: sum(parts[index].values()), default=None)
    most = (
        ""
        if top is None
        else f"{label(run.layers[top].name)} takes most, {si(sum(parts[top].values()), 'J')}."
    )
    return Figure(
        name="energy-layers",
        title="Energy by layer",
        caption=f"All instances of each layer.{rest}",
        alternative=f"Stacked bars of energy by component for {len(shown)} layers. {most}",
        spec={
            "data": traces,
            "layout": layout(
                barmode="stack",
                xaxis=layer_axis(names),
                yaxis=quantity_axis("J"),
                bargap=0.15,
            ),
        },
        wide=True,
    )


def _sums(run: Run, layers: Sequence[LayerResult]) -> dict[str, float]:
    total: dict[str, float] = {}
    for layer in layers:
        for group, joules in grouped_j(layer, run.machine).items():
            total[group] = total.get(group, 0.0) + joules
    return total


def _bar(
    group: str, colour: str, values: Sequence[float], names: Sequence[str], *, orientation: str = "v"
) -> Trace:
    along = list(range(len(names))) if orientation == "v" else [label(name) for name in names]
    first, second = ("x", "y") if orientation == "v" else ("y", "x")
    texts = [f"<b>{label(n)}</b><br>{group}: {si(v, 'J')}" for n, v in zip(names, values, strict=True)]
    return {
        "type": "bar",
        "name": group,
        "orientation": orientation,
        first: along,
        second: list(values),
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertext": texts,
        "hoverinfo": "text",
    }
