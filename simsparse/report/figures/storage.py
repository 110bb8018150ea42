"""Bits per weight against density for each format that can hold scattered zeros, and where they cross."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from simsparse.formats import make_format
from simsparse.hardware import DTYPE_BITS
from simsparse.pattern import parse_pattern
from simsparse.report.figures.figure import QUIET, SERIES, Figure, Trace, axis, layout
from simsparse.results import Run
from simsparse.units import percent

FORMATS = ("dense", "bitmask", "csr", "csc", "coo", "rle4", "delta", "hbitmask", "ell", "sell")
ALWAYS = ("dense", "bitmask", "csr", "coo")
DENSITIES = tuple(float(value) for value in np.geomspace(0.005, 1.0, 24))
ROWS, COLUMNS = 128, 1024
"""Size of the sample; larger layers are cut to it."""


def storage(run: Run) -> Figure:
    """Closed-form footprints of a seeded sample with the shape of the run's largest layer."""
    rows, columns = _sample(run)
    bits = DTYPE_BITS[run.dtype]
    read = dict(run.machine.formats) if run.machine else {}
    curves = footprints(rows, columns, bits, read, run.seed)
    best = envelope(curves)
    told = "; ".join(
        f"{name} from {percent(low)} to {percent(high)}"
        if low > DENSITIES[0]
        else f"{name} below {percent(high)}"
        for name, low, high in best
    )
    shown = {*ALWAYS, *read, *(name for name, *_ in best)}
    traces = [
        _curve(name, values, index, read=name in read, shown=name in shown)
        for index, (name, values) in enumerate(curves.items())
    ]
    if "nm" in read:
        traces.append(_structured(rows, columns, bits))
    here = _density(run)
    if 0 < here < 1:
        traces.append(_here(here, bits))
    return Figure(
        name="storage",
        title="Storage by format and density",
        caption=f"Bits per weight of a {rows}×{columns} matrix of {run.dtype} with scattered zeros, positions"
        f" and padding included. Smallest by density: {told}. Thick lines: formats this machine reads.",
        alternative=f"Curves of bits per weight against density. Smallest: {told}.",
        spec={
            "data": traces,
            "layout": layout(
                xaxis=axis(
                    "density (share kept)", type="log", tickvals=[0.01, 0.03, 0.1, 0.3, 1], tickformat=".0%"
                ),
                yaxis=axis(
                    "bits per weight", type="log", tickvals=[0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64]
                ),
            ),
        },
        height=420,
    )


def footprints(
    rows: int, columns: int, value_bits: int, parameters: Mapping[str, Mapping[str, int]], seed: int
) -> dict[str, list[float]]:
    """Bits per weight at each of ``DENSITIES``, by format; a machine's own widths where it gives them."""
    order = np.random.default_rng([seed, 0x5703]).permutation(rows * columns).reshape(rows, columns)
    masks = [order < max(1, round(density * rows * columns)) for density in DENSITIES]
    curves = {}
    for name in FORMATS:
        changes = parameters.get(name, {})
        candidate = dataclasses.replace(make_format(name), **changes)  # type: ignore[type-var]
        sizes = [candidate.footprint(mask, value_bits=value_bits).total_bits for mask in masks]
        curves[name] = [size / (rows * columns) for size in sizes]
    return curves


def envelope(curves: Mapping[str, Sequence[float]]) -> list[tuple[str, float, float]]:
    """Which curve is smallest from which density to which, densest first; crossings are interpolated."""
    smallest = [min(curves, key=lambda name: curves[name][index]) for index in range(len(DENSITIES))]
    spans: list[tuple[str, float, float]] = []
    high, current = DENSITIES[-1], smallest[-1]
    for index in range(len(DENSITIES) - 2, -1, -1):
        if smallest[index] != current:
            low = _crossing(curves[current], curves[smallest[index]], index)
            spans.append((current, low, high))
            high, current = low, smallest[index]
    return [*spans, (current, DENSITIES[0], high)]


def _crossing(first: Sequence[float], second: Sequence[float], index: int) -> float:
    gaps = [math.log(first[place] / second[place]) for place in (index, index + 1)]
    share = gaps[0] / (gaps[0] - gaps[1]) if gaps[0] != gaps[1] else 1.0
    low, high = math.log(DENSITIES[index]), math.log(DENSITIES[index + 1])
    return math.exp(low + min(1.0, max(0.0, share)) * (high - low))


def _sample(run: Run) -> tuple[int, int]:
    weighted = [layer for layer in run.layers if layer.format and layer.m and layer.k]
    if not weighted:
        return ROWS, COLUMNS
    largest = max(weighted, key=lambda layer: layer.m * layer.k)
    return min(ROWS, largest.m), min(COLUMNS, largest.k)


def _density(run: Run) -> float:
    pruned = [layer for layer in run.layers if layer.format and layer.weight_density < 1.0]
    total = sum(layer.m * layer.k * layer.count for layer in pruned)
    return (
        sum(layer.weight_density * layer.m * layer.k * layer.count for layer in pruned) / total
        if total
        else 1.0
    )


def _curve(name: str, values: Sequence[float], index: int, *, read: bool, shown: bool) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(DENSITIES),
        "y": list(values),
        "line": {
            "color": QUIET if name == "dense" else SERIES[(index - 1) % len(SERIES)],
            "width": 3 if read else 1.5,
            "dash": "solid" if read else "dot",
        },
        "visible": True if shown else "legendonly",
        "hovertemplate": f"{name}: %{{y:.3g}} bits at %{{x:.1%}}<extra></extra>",
    }


def _structured(rows: int, columns: int, bits: int) -> Trace:
    wide = columns // 4 * 4 or 4
    mask = np.tile(np.array([True, True, False, False]), (rows, wide // 4))
    size = make_format("nm", pattern=parse_pattern("2:4")).footprint(mask, value_bits=bits).total_bits
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "2:4",
        "x": [0.5],
        "y": [size / (rows * wide)],
        "marker": {"symbol": "diamond", "size": 11, "color": "@text"},
        "hovertemplate": "2:4: %{y:.3g} bits at 50%<extra></extra>",
    }


def _here(density: float, bits: int) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "this run",
        "x": [density, density],
        "y": [bits / 64, bits],
        "line": {"color": "@text", "width": 1, "dash": "dash"},
        "hoverinfo": "name",
    }
