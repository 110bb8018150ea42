"""Figures of a report: each a Plotly figure as plain data, with its title, caption and a text that stands in
for it.

Colours are names of the page's style, such as ``@c1`` or ``@text``; the page puts in those of the reader's
light or dark scheme.
"""

from __future__ import annotations

from simsparse.report.figures.figure import Figure
from simsparse.report.figures.run import run_figures

__all__ = ["Figure", "run_figures"]
