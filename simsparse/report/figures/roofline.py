"""The roofline of the run: dense and sparse points of each product, joined by arrows, under the roofs."""

from __future__ import annotations

import math
from typing import Any

from simsparse.report.figures.figure import QUIET, SERIES, Figure, Trace, axis, label, layout
from simsparse.results import LayerResult, MachineFacts, Run
from simsparse.units import si, three_digits

SHOWN = 40
"""Layers with an arrow, those that take longest."""
_TITLE = "Roofline: dense → sparse"
_SAME = 1e-3


def roofline(run: Run) -> Figure:
    """Multiply-adds of the dense layer by byte and by second, so that up is faster for both executions."""
    machine = run.machine
    level = _level(run)
    if machine is None or level is None:
        reason = "This machine moves nothing over a memory with a bandwidth: there is no roof to draw."
        return Figure(name="roofline", title=_TITLE, caption=reason, alternative=reason, spec=None)
    pairs = [
        (sparse, dense)
        for sparse, dense in zip(run.layers, run.baseline_layers, strict=True)
        if sparse.cost.macs_dense
        and min(sparse.time_s, dense.time_s) > 0
        and min(sparse.counts[(level, "byte")], dense.counts[(level, "byte")]) > 0
    ]
    pairs.sort(key=lambda pair: -pair[0].time_s * pair[0].count)
    over = sum(_rate(sparse) > machine.peak_macs_per_s for sparse, _ in pairs)
    above = (
        f" {over} of {len(pairs)} layers are above the dense peak: only skipped zeros can do that."
        if over
        else ""
    )
    return Figure(
        name="roofline",
        title=_TITLE,
        caption="Both axes count the dense layer's multiply-adds: up is faster, right is fewer bytes over"
        f" {label(level)}. The slope is its bandwidth, {si(machine.bandwidth_bytes_per_s[level], 'B/s')};"
        f" the level line is the dense peak, {si(machine.peak_macs_per_s, 'MAC/s')} in {run.dtype}.{above}"
        + (f" The {SHOWN} longest of {len(pairs)} products." if len(pairs) > SHOWN else ""),
        alternative=f"Roofline of {len(pairs)} products, with an arrow from dense to sparse for each.{above}",
        spec={"data": _traces(pairs[:SHOWN], machine, level), "layout": _layout()},
        height=420,
    )


def _level(run: Run) -> str | None:
    for name in run.machine.bandwidth_bytes_per_s if run.machine else ():
        if any(layer.counts[(name, "byte")] for layer in run.layers if layer.cost.macs_dense):
            return name
    return None


def _rate(layer: LayerResult) -> float:
    return layer.cost.macs_dense / layer.time_s


def _intensity(layer: LayerResult, level: str) -> float:
    return layer.cost.macs_dense / layer.counts[(level, "byte")]


def _traces(pairs: list[tuple[LayerResult, LayerResult]], machine: MachineFacts, level: str) -> list[Trace]:
    reach = [_intensity(layer, level) for pair in pairs for layer in pair] or [1.0]
    peak, slope = machine.peak_macs_per_s, machine.bandwidth_bytes_per_s[level]
    ridge = peak / slope
    left, right = min(min(reach) / 2, ridge / 4), max(max(reach) * 2, ridge * 4)
    roof = {
        "type": "scatter",
        "mode": "lines",
        "name": f"roofs ({label(level)}, dense peak)",
        "x": [left, ridge, right],
        "y": [left * slope, peak, peak],
        "line": {"color": "@text", "width": 2},
        "hoverinfo": "skip",
    }
    moved = [pair for pair in pairs if _moved(*pair, level)]
    path: dict[str, list[Any]] = {"x": [], "y": []}
    for sparse, dense in moved:
        path["x"] += [_intensity(dense, level), _intensity(sparse, level), None]
        path["y"] += [_rate(dense), _rate(sparse), None]
    arrows = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "dense → sparse",
        **path,
        "line": {"color": QUIET, "width": 1},
        "marker": {"symbol": "arrow", "angleref": "previous", "size": [0, 9, 0] * len(moved), "color": QUIET},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [
        roof,
        arrows,
        _points("dense", [dense for _, dense in pairs], level, QUIET, "circle-open"),
        _points("sparse", [sparse for sparse, _ in pairs], level, SERIES[0], "circle"),
    ]


def _moved(sparse: LayerResult, dense: LayerResult, level: str) -> bool:
    steps = (
        math.log(_rate(sparse) / _rate(dense)),
        math.log(_intensity(sparse, level) / _intensity(dense, level)),
    )
    return max(map(abs, steps)) > _SAME


def _points(name: str, layers: list[LayerResult], level: str, colour: str, symbol: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_intensity(layer, level) for layer in layers],
        "y": [_rate(layer) for layer in layers],
        "marker": {"symbol": symbol, "size": 8, "color": colour, "line": {"width": 1.5, "color": colour}},
        "hovertext": [
            f"<b>{label(layer.name, 60)}</b> ({name})<br>{si(_rate(layer), 'MAC/s')},"
            f" {three_digits(_intensity(layer, level))} MAC per byte<br>bound by {label(layer.bound_by)}"
            for layer in layers
        ],
        "hoverinfo": "text",
    }


def _layout() -> dict[str, Any]:
    return layout(
        xaxis=axis("dense multiply-adds per byte", type="log", exponentformat="SI", dtick=1),
        yaxis=axis("dense multiply-adds per second", type="log", exponentformat="SI", dtick=1),
    )
