"""Laws 4 to 8 of the simulated machine, over every bundled machine × layers × patterns × activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from simsparse.errors import UnsupportedError
from simsparse.hardware import HardwareModel
from simsparse.results import LayerResult
from simsparse.simulate import simulate_layer
from tests.laws.cases import MACHINES, Case, cases, faster, machine

EXAMPLES = 8
"""Each law meets every machine; the machines multiply the cases."""
REACHABLE_POWER = 1.1
"""A machine may exceed its TDP by a tenth for a layer, no more."""


def _run(case: Case, hardware: HardwareModel, **options: object) -> LayerResult:
    try:
        return simulate_layer(case.layer, hardware, case.weights, case.inputs, **options)  # type: ignore[arg-type]
    except UnsupportedError:
        assume(False)
        raise


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=EXAMPLES // 2)  # SimPy is the slow one
@given(case=cases())
def test_both_engines_give_the_same_result(name: str, case: Case) -> None:
    compiled = _run(case, machine(name), engine="compiled")
    reference = _run(case, machine(name), engine="simpy")
    assert compiled == reference


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_time_is_no_shorter_than_the_bound_and_utilisation_at_most_one(name: str, case: Case) -> None:
    result = _run(case, machine(name))
    assert result.bound_cycles <= result.cycles + 1e-9
    assert 0.0 <= result.utilisation <= 1.0 + 1e-12
    assert 0.0 <= result.balance <= 1.0


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_every_mac_is_done_gated_or_skipped(name: str, case: Case) -> None:
    result = _run(case, machine(name))
    cost = result.cost
    assert min(cost.macs_done, cost.macs_gated, cost.macs_skipped) >= 0
    assert cost.macs_done + cost.macs_gated + cost.macs_skipped == cost.macs_dense == case.layer.macs
    # W[m, k] meets X[k, n] of its group: the products of two nonzeros, counted by float64 matrix products
    groups = case.layer.groups
    weights = np.split(case.weights.astype(float), groups)
    inputs = np.split(case.inputs.astype(float), groups)
    effectual = sum(int(np.sum(w @ x)) for w, x in zip(weights, inputs, strict=True))
    assert cost.macs_done >= effectual


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_energy_is_counts_times_table_and_power_stays_below_tdp(name: str, case: Case) -> None:
    hardware = machine(name)
    result = _run(case, hardware)
    dynamic_pj = sum(count * hardware.energy_pj[c][a] for (c, a), count in result.counts.items())
    assert result.energy_j == pytest.approx(dynamic_pj * 1e-12 + hardware.static_w * result.time_s, rel=1e-12)
    assert result.energy_j == pytest.approx(sum(result.cost.energy_by_component_j.values()), rel=1e-12)
    if hardware.tdp_w is not None:
        assert result.cost.average_power_w <= REACHABLE_POWER * hardware.tdp_w


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_a_faster_clock_and_memory_scale_time_and_leave_dynamic_energy(name: str, case: Case) -> None:
    hardware = machine(name)
    slow, fast = _run(case, hardware), _run(case, faster(hardware, 2.0))
    assert fast.cycles == slow.cycles
    assert fast.time_s == slow.time_s / 2.0
    assert fast.counts == slow.counts


@pytest.mark.parametrize("name", ["tpu-like", "tensor-core"])
@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_a_machine_that_skips_nothing_computes_equally_long_for_every_mask(name: str, case: Case) -> None:
    hardware = machine(name)
    dense = simulate_layer(case.layer, hardware, None, case.inputs, format="dense")
    masked = _run(case, hardware, format="dense")
    assert masked.cost.macs_done == case.layer.macs
    assert masked.cycles == dense.cycles


@settings(max_examples=EXAMPLES)
@given(case=cases())
def test_a_machine_that_skips_perfectly_takes_one_cycle_per_effectual_product(case: Case) -> None:
    result = _run(case, machine("eyeriss-v2-pe"))
    assert result.cycles == result.cost.macs_done
