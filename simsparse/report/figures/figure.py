"""What a figure is, and what all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simsparse.report.plain import plain

Trace = dict[str, Any]
SERIES = tuple(f"@c{number}" for number in range(1, 9))
"""A palette that colour-blind readers can tell apart (after Okabe and Ito)."""
QUIET = "@quiet"
TICKED = 16
"""Layers up to this number are named along the axis; more are named when pointed at."""
NAME_LENGTH = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of the page. ``spec`` has Plotly's ``data`` and ``layout``, and is None where there is nothing
    to draw; ``caption`` then says why.
    """

    name: str
    title: str
    caption: str
    alternative: str
    """What it shows, for those who do not see it."""
    spec: Mapping[str, Any] | None
    height: int = 340
    wide: bool = False


def label(name: str, length: int = NAME_LENGTH) -> str:
    """A name from a file as Plotly text: nothing in it is markup, and it is short.

    >>> label("<script>")
    '&lt;script&gt;'
    """
    text = plain(name)
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def axis(title: str, **changes: Any) -> dict[str, Any]:
    """An axis in the page's style."""
    return {"title": {"text": title}, "automargin": True, **changes}


def quantity_axis(unit: str, title: str = "", **changes: Any) -> dict[str, Any]:
    """An axis in SI prefixes of ``unit``."""
    return axis(title, ticksuffix=unit, exponentformat="SI", minexponent=0, **changes)


def layer_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of layers in execution order at 0, 1, 2 …"""
    if len(names) <= TICKED:
        ticks = {"tickvals": list(range(len(names))), "ticktext": [label(name, 18) for name in names]}
        return axis("", tickangle=-40, showgrid=False, **ticks)
    return axis("layer, in order of execution", showgrid=False, showticklabels=False, ticks="")


def layout(**changes: Any) -> dict[str, Any]:
    """A layout in the page's style; the page draws legends of its own."""
    margin = {"l": 8, "r": 8, "t": 8, "b": 8}
    return {"margin": margin, "showlegend": False, "hovermode": "closest", **changes}


def shown_layers(layers: Sequence[object], shares: Sequence[float]) -> list[int]:
    """Indices of layers that hold at least a thousandth of the whole, in order."""
    total = sum(shares) or 1.0
    return (
        [index for index, share in enumerate(shares) if share >= 1e-3 * total]
        if len(layers) > 8
        else list(range(len(layers)))
    )
