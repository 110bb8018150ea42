"""Measured time by operator, beside the dense library."""

from __future__ import annotations

from simsparse.measurement import LayerMeasurement, Measurement
from simsparse.report.figures.figure import (
    QUIET,
    SERIES,
    Figure,
    Trace,
    label,
    layer_axis,
    layout,
    quantity_axis,
    shown_layers,
)
from simsparse.units import percent, ratio, si


def measured_times(measurement: Measurement) -> Figure:
    """Bars of our kernels, ticks for the dense library where it was timed layer by layer."""
    times = [layer.time_s for layer in measurement.layers]
    shown = shown_layers(measurement.layers, times)
    layers = [measurement.layers[index] for index in shown]
    left_out = len(times) - len(shown)
    rest = f" {left_out} with less than 0.1 % each are left out." if left_out else ""
    told = f"{percent(_product_share(measurement))} of the time is in products"
    return Figure(
        name="time-layers",
        title="Measured time by operator",
        caption=f"Medians of {measurement.runs} runs; {told}. A tick marks the dense library.{rest}",
        alternative=f"Bars of measured time for {len(shown)} operators; {told}.",
        spec={
            "data": [*_bars(layers), _ticks(layers)],
            "layout": layout(
                barmode="overlay",
                xaxis=layer_axis([layer.name for layer in layers]),
                yaxis=quantity_axis("s"),
                bargap=0.15,
            ),
        }
        if layers
        else None,
        wide=True,
    )


def _product_share(measurement: Measurement) -> float:
    total = sum(layer.time_s for layer in measurement.layers)
    return sum(layer.time_s for layer in measurement.layers if layer.m) / total if total else 0.0


def _bars(layers: list[LayerMeasurement]) -> list[Trace]:
    groups: dict[str, list[int]] = {"sparse product": [], "dense product": [], "other operator": []}
    for place, layer in enumerate(layers):
        sparse = "sparse product" if layer.format != "dense" else "dense product"
        groups[sparse if layer.m else "other operator"].append(place)
    return [
        {
            "type": "bar",
            "name": name,
            "x": places,
            "y": [layers[place].time_s for place in places],
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertext": [_hover(layers[place]) for place in places],
            "hoverinfo": "text",
        }
        for (name, places), colour in zip(groups.items(), (SERIES[0], SERIES[1], SERIES[7]), strict=True)
        if places
    ]


def _ticks(layers: list[LayerMeasurement]) -> Trace:
    known = [(place, layer.dense_s) for place, layer in enumerate(layers) if layer.dense_s is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "dense library",
        "x": [place for place, _ in known],
        "y": [time_s for _, time_s in known],
        "marker": {
            "symbol": "line-ew-open",
            "size": 9 if len(layers) < 40 else 5,
            "color": QUIET,
            "line": {"width": 2},
        },
        "hoverinfo": "skip",
    }


def _hover(layer: LayerMeasurement) -> str:
    beside = "" if layer.dense_s is None else f" instead of {si(layer.dense_s, 's')}"
    gain = "" if layer.speedup is None else f" ({ratio(layer.speedup)})"
    shape = f"<br>{label(layer.format)} {layer.m}×{layer.k}×{layer.n}" if layer.m else ""
    return (
        f"<b>{label(layer.name, 60)}</b><br>{si(layer.time_s, 's')}{beside}{gain}"
        f"<br>{label(layer.kernel or layer.kind)}{shape}"
    )
