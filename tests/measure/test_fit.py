"""The fit finds the constants behind the times, keeps to what is expected otherwise, bears outliers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.hardware import CpuRowsParameters
from simsparse.load.catalog import load_hardware
from simsparse.measure.fit import Constant, fit, get, with_values
from simsparse.measure.fit_priors import BY_KERNEL, MEMORY, PARTS

_MACHINE = load_hardware("epyc-9654").dataflow
assert isinstance(_MACHINE, CpuRowsParameters)
START = _MACHINE
PATHS = ("csr.row", "csr.per_weight.1", "panel.inputs.0")
CONSTANTS = tuple(Constant(path=path, spread=1.0) for path in PATHS)
DESIGN = np.random.default_rng(0).uniform(0.1, 10, (60, len(PATHS)))


def times(machine: CpuRowsParameters) -> np.ndarray:
    """A made-up kernel that spends each constant a known number of times."""
    return DESIGN @ np.array([get(machine, path) for path in PATHS])


@given(factors=st.lists(st.floats(0.3, 3), min_size=len(PATHS), max_size=len(PATHS)))
@settings(max_examples=20, deadline=None)
def test_constants_that_made_the_times_are_found(factors: list[float]) -> None:
    truth = [get(START, path) * factor for path, factor in zip(PATHS, factors, strict=True)]
    found = fit(START, CONSTANTS, times, times(with_values(START, PATHS, truth)))
    assert [get(found.parameters, path) for path in PATHS] == pytest.approx(truth, rel=0.15)  # priors pull
    assert np.abs(found.errors).max() < 0.1


def test_a_few_disturbed_timings_do_not_bend_the_rest() -> None:
    measured = times(START)
    measured[::10] *= 5
    found = fit(START, CONSTANTS, times, measured)
    assert np.median(np.abs(found.errors)) < 0.04
    assert np.abs(found.errors[::10]).min() > 1


def test_constants_that_no_timing_shows_stay_as_expected() -> None:
    unseen = Constant(path="grouped.column", spread=0.3)
    found = fit(START, (*CONSTANTS, unseen), times, 2 * times(START))
    assert found.parameters.grouped.column == pytest.approx(START.grouped.column)
    assert found.parameters.csr.row == pytest.approx(2 * START.csr.row, rel=0.1)


@pytest.mark.parametrize("kernel", BY_KERNEL)
def test_every_constant_exists_and_belongs_to_its_kernel(kernel: str) -> None:
    for constant in BY_KERNEL[kernel]:
        part = constant.path.split(".")[0]
        assert part in PARTS[kernel]
        if constant.path.startswith("csr.per_weight"):
            continue  # as many as a panel has vectors, which differs from machine to machine
        changed = with_values(START, [constant.path], [123.0])
        assert get(changed, constant.path) == 123.0
        assert changed != START
    assert {constant.path.split(".")[0] for constant in MEMORY} == {"memory"}


def test_values_change_at_their_places_only() -> None:
    changed = with_values(START, ["csr.per_weight.0", "csr.per_weight.2", "csr.row"], [1.0, 3.0, 7.5])
    assert changed.csr.per_weight == (1.0, START.csr.per_weight[1], 3.0, *START.csr.per_weight[3:])
    back = dataclasses.replace(changed.csr, per_weight=START.csr.per_weight, row=START.csr.row)
    assert dataclasses.replace(changed, csr=back) == START
