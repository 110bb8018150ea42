"""TC and STC of the Sparseloop case study: cycles, as the bound of our plan and as simulated."""

from __future__ import annotations

import numpy as np

from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table

_MACHINES = {"TC-RF2x-24-bandwidth": "tensor-core", "STC-RF2x-24-bandwidth": "stc"}
_FILL_TOLERANCE = 0.01


def checks() -> list[Check]:
    """The bound at 0 % and the simulated time, which adds one tile's fill and the last drain, within 1 %."""
    found = []
    for row in table("sparseloop_fig15_stc_variants"):
        machine = _MACHINES.get(row["design"])
        if machine is None:
            continue
        m, k, n = int(row["M"]), int(row["K"]), int(row["N"])
        # the study gives STC 2:4 weights at every density up to one half
        mask = (
            np.tile([True, True, False, False], (m, k // 4)) if float(row["weight_density"]) <= 0.5 else None
        )
        result = simulate_layer(gemm_layer(row["design"], m, k, n), load_hardware(machine), mask)
        name = f"{machine} {m}x{k}x{n} density {row['weight_density']}"
        for quantity, ours, tolerance in (
            ("bound", result.bound_cycles, 0.0),
            ("simulated", result.cycles, _FILL_TOLERANCE),
        ):
            found.append(
                Check(
                    target="tensor-core",
                    row=name,
                    quantity=quantity,
                    ours=ours,
                    published=float(row["cycles"]),
                    unit="cycles",
                    tolerance=tolerance,
                    kind="simulator parity",
                    source=row["source"].split("/ref_outputs")[0],
                )
            )
    return found
