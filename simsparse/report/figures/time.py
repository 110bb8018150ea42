"""Time by layer, coloured by what bounds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simsparse.report.figures.figure import (
    QUIET,
    SERIES,
    Figure,
    label,
    layer_axis,
    layout,
    quantity_axis,
    shown_layers,
)
from simsparse.results import Run
from simsparse.units import percent, ratio, si

_KNOWN = {
    "compute": 1,
    "dram": 0,
    "launch": 3,
    "imbalance": 5,
    "latency": 7,
    "decode": 2,
}
"""Bounds that mean the same on every machine keep their colour."""


def bound_colours(bounds: Sequence[str]) -> Mapping[str, str]:
    """A colour for each bound."""
    spare = [index for index in range(len(SERIES)) if index not in _KNOWN.values()]
    others = sorted(set(bounds) - set(_KNOWN))
    return {
        **{name: SERIES[_KNOWN[name]] for name in _KNOWN if name in set(bounds)},
        **{name: SERIES[spare[index % len(spare)]] for index, name in enumerate(others)},
    }


def time_by_layer(run: Run) -> Figure:
    """Bars of the sparse execution, ticks for the dense one."""
    time_s = [layer.time_s * layer.count for layer in run.layers]
    dense_s = [layer.time_s * layer.count for layer in run.baseline_layers]
    shown = shown_layers(run.layers, time_s)
    layers = [run.layers[index] for index in shown]
    colours = bound_colours([layer.bound_by for layer in layers])
    traces = []
    for bound, colour in colours.items():
        places = [place for place, layer in enumerate(layers) if layer.bound_by == bound]
        traces.append(
            {
                "type": "bar",
                "name": label(bound),
                "x": places,
                "y": [time_s[shown[place]] for place in places],
                "marker": {"color": colour, "line": {"width": 0}},
                "hovertext": [_hover(run, shown[place]) for place in places],
                "hoverinfo": "text",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "dense",
            "x": list(range(len(shown))),
            "y": [dense_s[index] for index in shown],
            "marker": {
                "symbol": "line-ew-open",
                "size": 9 if len(shown) < 40 else 5,
                "color": QUIET,
                "line": {"width": 2},
            },
            "hoverinfo": "skip",
        }
    )
    shares = {
        bound: sum(time_s[i] for i, layer in enumerate(run.layers) if layer.bound_by == bound)
        / (sum(time_s) or 1)
        for bound in colours
    }
    told = ", ".join(
        f"{bound} {percent(shares[bound])}" for bound in sorted(shares, key=lambda b: -shares[b])
    )
    left_out = len(run.layers) - len(shown)
    rest = f" {left_out} layers with less than 0.1 % each are left out." if left_out else ""
    return Figure(
        name="time-layers",
        title="Time by layer, and what bounds it",
        caption=f"Share of the time by bound: {label(told, 200)}. A tick marks the dense execution.{rest}",
        alternative=f"Bars of time for {len(shown)} layers. Share of the time by bound: {told}.",
        spec={
            "data": traces,
            "layout": layout(
                barmode="overlay",
                xaxis=layer_axis([layer.name for layer in layers]),
                yaxis=quantity_axis("s"),
                bargap=0.15,
            ),
        },
        wide=True,
    )


def _hover(run: Run, index: int) -> str:
    layer, dense = run.layers[index], run.baseline_layers[index]
    gain = ratio(dense.time_s / layer.time_s) if layer.time_s else ""
    return (
        f"<b>{label(layer.name, 60)}</b><br>{si(layer.time_s * layer.count, 's')}"
        f" instead of {si(dense.time_s * dense.count, 's')} ({gain})<br>bound by {label(layer.bound_by)}"
        f"<br>{label(layer.format)} {layer.m}×{layer.k}×{layer.n}"
    )
