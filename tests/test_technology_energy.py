"""Scaling between nodes, and pricing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.energy import price
from simsparse.errors import UsageError
from simsparse.load.catalog import load_hardware
from simsparse.results import Counts
from simsparse.technology import energy_scale

NODES = st.floats(7, 130)


@given(NODES, NODES, NODES)
def test_scaling_composes_and_shrinks_with_the_node(a: float, b: float, c: float) -> None:
    assert energy_scale(a, b) * energy_scale(b, c) == pytest.approx(energy_scale(a, c), rel=1e-9)
    if a > b:
        assert energy_scale(a, b) <= 1.0 + 1e-12


def test_scaling_follows_the_published_polynomial() -> None:
    at_45, at_7 = (1.103 * 0.64 - 0.362 * 0.8 + 0.2767), (0.1776 * 0.64 - 0.09097 * 0.8 + 0.02447)
    assert energy_scale(45, 7) == pytest.approx(at_7 / at_45, rel=1e-12)


@pytest.mark.parametrize("node", [5.0, 180.0])
def test_nodes_outside_the_table_are_refused(node: float) -> None:
    with pytest.raises(UsageError, match="expected a node from 7 to 130 nm"):
        energy_scale(45, node)


def test_static_power_is_priced_by_time_and_every_action_by_the_table() -> None:
    hardware = dataclasses.replace(load_hardware("stc"), static_w=2.0)
    priced = price(Counts({("mac", "int8"): 10, ("dram", "byte"): 3}), hardware, 0.5)
    assert priced == {"mac": pytest.approx(5.608e-12), "dram": pytest.approx(192e-12), "static": 1.0}


def test_an_action_without_a_price_is_an_error_that_names_it() -> None:
    with pytest.raises(UsageError, match=r"hardware stc: energy_pj: expected an entry mac\.fp64"):
        price(Counts({("mac", "fp64"): 1}), load_hardware("stc"), 1.0)


@given(
    st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), st.integers(0, 9)),
    st.integers(0, 5),
)
def test_counts_add_and_scale_like_integers(data: dict[tuple[str, str], int], times: int) -> None:
    counts = Counts(data)
    total = Counts()
    for _ in range(times):
        total += counts
    assert total == counts.scaled(times)
    assert sum(total.values()) == times * sum(data.values())
