"""The Eyeriss v2 PE's energy by component against its formula (simulator parity, same energy table)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simsparse.errors import UsageError
from simsparse.hardware import ScalarCscParameters
from simsparse.load.catalog import load_hardware
from simsparse.validation.data_files import document
from simsparse.validation.eyeriss_v2_pe import mapped, simulated

LAYERS = document("eyeriss_v2_pe_channel_nnz")["layers"]


def formula(name: str, row_tile: int) -> dict[str, float]:
    """pJ by component from nonzeros alone; M output channels, C input channels, EF outputs of each."""
    row = LAYERS[name]
    m, c, ef = row["M"], row["C"], row["P"] * row["Q"]
    inputs, weights = np.array(row["act_nnz_per_channel"]), np.array(row["weight_nnz_per_channel"])
    cycles, nnz_inputs, nnz_weights = int(inputs @ weights), int(inputs.sum()), int(weights.sum())
    slots, tiles_m, tiles_c = nnz_inputs * m, m // row_tile, c // 8
    filled = nnz_inputs * tiles_m
    addresses = tiles_m * tiles_c * 9
    positions = (nnz_weights / 2 + addresses) * (ef + 1)  # skipped weights' too, and once when written
    return {
        "mac": cycles * 0.5608 + (slots - cycles) * 0.01798,
        "register": (slots + filled) * (0.072 + 0.036),
        "psum_spad": (2 * cycles + m * ef * tiles_c) * 0.32508 + 2 * (slots - cycles) * 0.00801,
        "weight_spad": cycles * 0.47678 + nnz_weights * 0.51919 + positions * 0.88442,
        "iact_spad": 2 * filled * (0.13003 + 0.14934),
    }


@pytest.mark.parametrize(("name", "row_tile"), [("L07", 8), ("L13", 16), ("L21", 16), ("L25", 16)])
def test_energy_by_component_follows_the_formula(name: str, row_tile: int) -> None:
    result = simulated(name, LAYERS[name], mapped(load_hardware("eyeriss-v2-pe"), row_tile))
    expected = formula(name, row_tile)
    ours = {part: joules * 1e12 for part, joules in result.cost.energy_by_component_j.items() if joules}
    assert ours == pytest.approx(expected, rel=0.02)
    assert sum(ours.values()) == pytest.approx(sum(expected.values()), rel=0.02)
    exact = {"mac", "register", "iact_spad"}
    assert {part: ours[part] for part in exact} == pytest.approx({part: expected[part] for part in exact})


def test_a_gated_slot_costs_less_than_a_product_and_a_larger_tile_less_traffic() -> None:
    hardware = load_hardware("eyeriss-v2-pe")
    small, large = (simulated("L21", LAYERS["L21"], mapped(hardware, rows)) for rows in (4, 32))
    assert small.cycles == large.cycles
    for part in ("register", "iact_spad", "weight_spad"):
        assert large.cost.energy_by_component_j[part] < small.cost.energy_by_component_j[part]
    assert large.cost.energy_by_component_j["mac"] == small.cost.energy_by_component_j["mac"]


def test_a_tile_has_as_many_rows_as_there_are_partial_sums() -> None:
    flow = load_hardware("eyeriss-v2-pe").dataflow
    assert isinstance(flow, ScalarCscParameters)
    with pytest.raises(UsageError, match="row_tile <= psum_entries = 32"):
        dataclasses.replace(flow, row_tile=33)
