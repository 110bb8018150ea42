"""DSTC: time of a GEMM at several densities of both operands, normalised to dense (Fig. 21)."""

from __future__ import annotations

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.masks import fixed_count
from simsparse.validation.mean import mean_error

SEED = 2021
_ROW_TOLERANCE, _MEAN_TOLERANCE = 0.08, 0.04
_PEER = "Sparseloop (MICRO 2022) on this figure: mean 7.5%, worst 21%"


def checks() -> list[Check]:
    """Each point within 8 %, their mean error within 4 %; the dense row is the unit and not counted."""
    hardware = load_hardware("dstc")
    rows = table("dstc_fig21")
    dense = [row for row in rows if float(row["A_density"]) == float(row["B_density"]) == 1.0]
    unit = _cycles(dense[0], hardware)
    found = [
        Check(
            target="dstc",
            row=f"weights {row['A_density']} inputs {row['B_density']}",
            quantity="normalised time",
            ours=_cycles(row, hardware) / unit,
            published=float(row["time_raw"]) / float(dense[0]["time_raw"]),
            unit="",
            tolerance=_ROW_TOLERANCE,
            kind="simulator parity",
            source=row["source"],
            note="published values are digitised from the figure",
        )
        for row in rows
        if row not in dense
    ]
    return [*found, mean_error(found, tolerance=_MEAN_TOLERANCE, note=_PEER)]


def _cycles(row: dict[str, str], hardware: HardwareModel) -> float:
    m, k, n = int(row["M"]), int(row["K"]), int(row["N"])
    generator = np.random.default_rng(SEED)
    weights, inputs = (
        fixed_count(generator, shape, density)
        for shape, density in (((m, k), float(row["A_density"])), ((k, n), float(row["B_density"])))
    )
    return simulate_layer(gemm_layer("gemm", m, k, n), hardware, weights, inputs).cycles
