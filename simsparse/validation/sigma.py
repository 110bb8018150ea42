"""SIGMA: cycles of the published GEMMs, with TeAAL's beside ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.masks import fixed_count
from simsparse.validation.mean import mean_error, mean_of

SEED = 2020
_ROW_TOLERANCE, _MEAN_TOLERANCE = 0.01, 0.005
_LONGEST_DRAWN = 16384
"""Longer K repeat a random block of at most this many columns, which no multiple of a K tile divides."""


def checks() -> list[Check]:
    """Each GEMM within 1 %, their mean error within 0.5 %."""
    rows = table("sigma_gemm_cycles")
    found = [_row(row) for row in rows]
    peers = [float(row["teaal_cycles"]) / float(row["sigma_cycles_published"]) - 1 for row in rows]
    note = f"TeAAL (MICRO 2023) on the same rows: mean {mean_of(peers):.2%}, worst {max(map(abs, peers)):.1%}"
    return [*found, mean_error(found, tolerance=_MEAN_TOLERANCE, note=note)]


def _row(row: dict[str, str]) -> Check:
    m, n, k = int(row["M"]), int(row["N"]), int(row["K"])
    # the density of the inputs changes energy only, so they are left dense here
    result = simulate_layer(
        gemm_layer("gemm", m, k, n), load_hardware("sigma"), weights(m, k, float(row["A_density"]))
    )
    return Check(
        target="sigma",
        row=f"{m}x{k}x{n}",
        quantity="cycles",
        ours=result.cycles,
        published=float(row["sigma_cycles_published"]),
        unit="cycles",
        tolerance=_ROW_TOLERANCE,
        kind="simulator parity",
        source=row["source"],
    )


def weights(m: int, k: int, density: float) -> NDArray[np.bool_]:
    """(m, k) random mask of this density; a very long one repeats its first columns."""
    generator = np.random.default_rng(SEED)
    if k <= _LONGEST_DRAWN:
        return fixed_count(generator, (m, k), density)
    repeats = next(r for r in range(-(-k // _LONGEST_DRAWN), k + 1) if k % r == 0)
    return np.tile(fixed_count(generator, (m, k // repeats), density), (1, repeats))
