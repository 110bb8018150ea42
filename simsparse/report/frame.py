"""A run as a pandas table, one row per layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simsparse.report.json import layer_to_dict
from simsparse.results import Run

if TYPE_CHECKING:
    import pandas as pd


def frame(run: Run) -> pd.DataFrame:
    """One row per layer, in execution order; energies are spread over ``energy_<component>_j`` columns.

    Figures are for one of the ``count`` instances of a layer; ``baseline_time_s`` and ``baseline_energy_j``
    are those of the same layer in the dense execution. The run's own figures are in ``attrs``.
    """
    import pandas as pd

    dense = {layer.name: layer for layer in run.baseline_layers}
    rows = []
    for layer in run.layers:
        row = layer_to_dict(layer)
        components = row.pop("energy_by_component_j")
        del row["counts"], row["unit_load"]  # :func:`simsparse.report.energy` has the counts
        partner = dense.get(layer.name)
        row["baseline_time_s"] = partner.time_s if partner else None
        row["baseline_energy_j"] = partner.energy_j if partner else None
        rows.append(row | {f"energy_{name}_j": value for name, value in components.items()})
    table = pd.DataFrame(rows)
    energies = [name for name in table.columns if name.startswith("energy_")]
    table[energies] = table[energies].fillna(0.0)
    table.attrs = {"model": run.model, "hardware": run.hardware, "pattern": run.pattern, "seed": run.seed}
    return table


def write_csv(run: Run, path: str | Path) -> None:
    """Write :func:`frame` as CSV; numbers keep all their digits."""
    frame(run).to_csv(path, index=False, lineterminator="\n")
