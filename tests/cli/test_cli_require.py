"""Conditions on results."""

from __future__ import annotations

import operator
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.cli.require import check_requirements, parse_requirement
from simsparse.errors import RequirementError, UsageError

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from run_example import example_run

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@given(sign=st.sampled_from(sorted(COMPARE)), bound=st.floats(0.0, 10.0) | st.just(2.0))
def test_a_requirement_holds_when_the_comparison_does(sign: str, bound: float) -> None:
    requirement = parse_requirement(f" speedup {sign} {bound!r} ")
    assert (requirement.missed(example_run()) is None) == COMPARE[sign](example_run().speedup, bound)


@pytest.mark.parametrize("figure", ["speedup", "energy_ratio", "memory_ratio", "time_s", "energy_j"])
def test_every_figure_can_be_required(figure: str) -> None:
    assert parse_requirement(f"{figure}>1e9").missed(example_run())


def test_all_that_were_missed_are_told() -> None:
    with pytest.raises(
        RequirementError, match=r"expected speedup >= 3, got 2; expected time_s < 0\.001, got 0\.0076"
    ):
        check_requirements(
            example_run(), [parse_requirement("speedup>=3"), parse_requirement("time_s<0.001")]
        )


@pytest.mark.parametrize(
    "text", ["", "speedup", "speedup>=", "speedup=>2", "speedup>=x", ">=2", "speedup>=-1", "a;b>=1"]
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(UsageError, match="--require: expected"):
        parse_requirement(text)
