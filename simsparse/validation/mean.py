"""Targets that are stated as a mean over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simsparse.validation.check import Check


def mean_error(checks: Sequence[Check], *, tolerance: float, note: str) -> Check:
    """A further row: the mean absolute error of ``checks``, all of one quantity; published is zero."""
    return replace(
        checks[0],
        row="mean",
        quantity=f"absolute error of {checks[0].quantity}",
        ours=sum(abs(check.error) for check in checks) / len(checks),
        published=0.0,
        unit="",
        tolerance=tolerance,
        relative=False,
        note=note,
    )


def mean_of(errors: Sequence[float]) -> float:
    """Mean of absolute errors, for peers' figures.

    >>> mean_of([0.1, -0.3])
    0.2
    """
    return sum(abs(error) for error in errors) / len(errors)
