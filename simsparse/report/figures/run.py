"""The figures of a run, in the order of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simsparse.report.figures.energy import energy_by_layer, energy_total
from simsparse.report.figures.figure import Figure
from simsparse.report.figures.imbalance import imbalance
from simsparse.report.figures.measured import measured_scatter
from simsparse.report.figures.roofline import roofline
from simsparse.report.figures.storage import storage
from simsparse.report.figures.time import time_by_layer
from simsparse.report.figures.waterfall import waterfall
from simsparse.results import Run

if TYPE_CHECKING:
    import pandas as pd


def run_figures(run: Run, measured: pd.DataFrame | None = None) -> list[Figure]:
    """All figures that the run has data for; ``measured`` as in :func:`measured_scatter`."""
    causes = waterfall(run)
    return [
        *([causes] if causes else []),
        time_by_layer(run),
        energy_total(run),
        energy_by_layer(run),
        roofline(run),
        imbalance(run),
        replace(storage(run), wide=measured is None),
        *([measured_scatter(measured)] if measured is not None else []),
    ]
