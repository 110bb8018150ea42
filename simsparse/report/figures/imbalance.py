"""How evenly the work of each layer is spread over the compute units."""

from __future__ import annotations

from simsparse.report.figures.figure import QUIET, SERIES, Figure, axis, label, layer_axis, layout
from simsparse.results import LayerResult, Run
from simsparse.units import ratio, three_digits

_TITLE = "Load imbalance"


def imbalance(run: Run) -> Figure:
    """For each product the busy time of its units ÷ their mean: all of them, the middle half, the median."""
    layers = [layer for layer in run.layers if layer.unit_load and layer.cost.macs_dense]
    if not layers:
        units = run.machine.units if run.machine else 1
        reason = (
            "This machine is modelled as one compute unit: there is nothing to balance."
            if units == 1
            else "No layer keeps more than one compute unit busy."
        )
        return Figure(name="imbalance", title=_TITLE, caption=reason, alternative=reason, spec=None)
    worst = max(layers, key=lambda layer: layer.unit_load[-1])
    time_s = sum(layer.time_s * layer.count for layer in layers) or 1.0
    typical = sum(layer.unit_load[-1] * layer.time_s * layer.count for layer in layers) / time_s
    told = f"Weighted by time the busiest unit has {ratio(typical)} the mean; {label(worst.name)} is worst"
    traces = [
        _range("all units", layers, 0.0, 1.0, 3, QUIET),
        _range("middle half", layers, 0.25, 0.75, 7, SERIES[0]),
    ]
    median = {
        "type": "scatter",
        "mode": "markers",
        "name": "median",
        "x": list(range(len(layers))),
        "y": [_at(layer, 0.5) for layer in layers],
        "marker": {"size": 6, "color": SERIES[1]},
        "hovertext": [_hover(layer) for layer in layers],
        "hoverinfo": "text",
    }
    return Figure(
        name="imbalance",
        title=_TITLE,
        caption=f"Compute time of the units ÷ their mean. {told} with {ratio(worst.unit_load[-1])}.",
        alternative=f"Range of work by unit for {len(layers)} layers. {told}, {ratio(worst.unit_load[-1])}.",
        spec={
            "data": [*traces, median],
            "layout": layout(
                xaxis=layer_axis([layer.name for layer in layers]),
                yaxis=axis("work ÷ mean", rangemode="tozero"),
            ),
        },
        height=420,
    )


def _at(layer: LayerResult, share: float) -> float:
    place = share * (len(layer.unit_load) - 1)
    low = int(place)
    high = min(low + 1, len(layer.unit_load) - 1)
    return layer.unit_load[low] + (place - low) * (layer.unit_load[high] - layer.unit_load[low])


def _range(
    name: str, layers: list[LayerResult], low: float, high: float, width: int, colour: str
) -> dict[str, object]:
    x: list[int | None] = []
    y: list[float | None] = []
    for index, layer in enumerate(layers):
        x += [index, index, None]
        y += [_at(layer, low), _at(layer, high), None]
    line = {"width": width, "color": colour}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": line,
        "hoverinfo": "skip",
    }


def _hover(layer: LayerResult) -> str:
    marks = " · ".join(three_digits(_at(layer, share)) for share in (0.0, 0.5, 1.0))
    return f"<b>{label(layer.name, 60)}</b><br>idlest · median · busiest: {marks}"
