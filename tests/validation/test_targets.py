"""Every published target is met, and a miss would show."""

from __future__ import annotations

import dataclasses

import pytest

from simsparse.errors import UnknownNameError
from simsparse.validation import target_names, validate


@pytest.mark.parametrize("target", target_names())
def test_every_row_of_the_target_is_within_its_tolerance(target: str) -> None:
    checks = validate([target])
    assert checks
    missed = [
        f"{check.row} {check.quantity}: {check.ours:.6g} against {check.published:.6g}"
        for check in checks
        if not check.ok
    ]
    assert not missed
    assert all(check.source for check in checks)


def test_a_check_outside_its_tolerance_is_not_ok() -> None:
    check = validate(["eyeriss-v2-pe"])[0]
    assert not dataclasses.replace(check, ours=check.ours + 1).ok
    assert dataclasses.replace(check, ours=check.ours * 1.05, tolerance=0.05).ok


def test_unknown_targets_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean eie"):
        validate(["eei"])
