"""Every published figure is met or known to be short, and a miss would show."""

from __future__ import annotations

import dataclasses

import pytest

from simsparse.errors import UnknownNameError
from simsparse.validation import Check, target_names, validate


@pytest.mark.parametrize("target", target_names())
def test_every_row_is_met_or_known_to_be_short(target: str) -> None:
    checks = validate([target])
    assert checks
    assert _missed(checks) == []
    assert [f"{check.row} {check.quantity}" for check in checks if check.ok and check.known_short] == []
    assert all(check.source for check in checks)


def _missed(checks: list[Check]) -> list[str]:
    return [
        f"{check.row} {check.quantity}: {check.ours:.6g} against {check.published:.6g}"
        for check in checks
        if not check.ok and not check.known_short
    ]


def test_only_a_reason_excuses_a_miss() -> None:
    check = validate(["eyeriss-v2-pe"])[0]
    miss = dataclasses.replace(check, ours=check.ours * 2)
    assert len(_missed([miss])) == 1
    assert _missed([dataclasses.replace(miss, known_short="a reason")]) == []
    assert not dataclasses.replace(miss, known_short="a reason").ok


def test_a_check_outside_its_tolerance_is_not_ok() -> None:
    check = validate(["eyeriss-v2-pe"])[0]
    assert not dataclasses.replace(check, ours=check.ours + 1).ok
    assert dataclasses.replace(check, ours=check.ours * 1.05, tolerance=0.05).ok


def test_unknown_targets_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean eie"):
        validate(["eei"])
