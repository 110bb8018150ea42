"""Marks of points and of those that no other beats, in the space of two figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from simsparse.report.figures.figure import Trace

if TYPE_CHECKING:
    import pandas as pd

Hover = Callable[[Any], str]


def marks(name: str, table: pd.DataFrame, axes: Sequence[str], colour: str, hover: Hover) -> Trace:
    """The points of ``table`` at the columns ``axes`` (x, y)."""
    x, y = axes
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": table[x].tolist(),
        "y": table[y].tolist(),
        "marker": {"symbol": "circle", "size": 8, "color": colour, "opacity": 0.85},
        "hovertext": [hover(row) for row in table.to_dict("records")],
        "hoverinfo": "text",
    }


def rings(best: pd.DataFrame, axes: Sequence[str], **changes: Any) -> Trace:
    """A ring around each of the points that no other beats."""
    x, y = axes
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "on the front",
        "x": best[x].tolist(),
        "y": best[y].tolist(),
        "marker": {"symbol": "circle-open", "size": 15, "color": "@text", "line": {"width": 1.5}},
        "hoverinfo": "skip",
        **changes,
    }
