"""Predicted against measured time, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsparse.report.figures.figure import QUIET, SERIES, Figure, label, layout, quantity_axis
from simsparse.units import percent, si

if TYPE_CHECKING:
    import pandas as pd


def measured_scatter(table: pd.DataFrame) -> Figure:
    """``table`` has a row per layer: ``layer``, ``predicted_s``, ``measured_s``; rows without either are left
    out.
    """
    known = table.dropna(subset=["predicted_s", "measured_s"])
    names = [str(name) for name in known["layer"]]
    predicted = [float(value) for value in known["predicted_s"]]
    measured = [float(value) for value in known["measured_s"]]
    errors = sorted(
        abs(ours / theirs - 1) for ours, theirs in zip(predicted, measured, strict=True) if theirs
    )
    told = (
        f"median error {percent(errors[len(errors) // 2])}, largest {percent(errors[-1])}"
        if errors
        else "no layer"
    )
    ends = [min([*predicted, *measured], default=1.0) / 1.5, max([*predicted, *measured], default=1.0) * 1.5]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "equal",
        "x": ends,
        "y": ends,
        "line": {"color": QUIET, "dash": "dash", "width": 1},
        "hoverinfo": "skip",
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "layer",
        "x": measured,
        "y": predicted,
        "marker": {"color": SERIES[0], "size": 9},
        "hovertext": [
            f"<b>{label(name, 60)}</b><br>measured {si(x, 's')}<br>predicted {si(y, 's')}"
            for name, x, y in zip(names, measured, predicted, strict=True)
        ],
        "hoverinfo": "text",
    }
    return Figure(
        name="measured",
        title="Predicted against measured",
        caption=f"{len(names)} layers on this host: {told}. On the dashed line prediction and clock agree.",
        alternative=f"Scatter of predicted against measured time of {len(names)} layers: {told}.",
        spec={
            "data": [line, points],
            "layout": layout(
                xaxis=quantity_axis("s", "measured", type="log"),
                yaxis=quantity_axis("s", "predicted", type="log"),
            ),
        },
        height=420,
    )
