"""One published figure beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["hardware", "simulator parity"]
"""Whether the published figure was measured on the machine (or its RTL), or is another model's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A row of a published table, our result, and whether it lies within the target's tolerance.

    ``relative`` errors are ours ÷ published − 1; the others are differences.
    """

    target: str
    row: str
    quantity: str
    ours: float
    published: float
    unit: str
    tolerance: float
    kind: Kind
    source: str
    relative: bool = True
    note: str = ""
    known_short: str = ""
    """Why the row is missed although the model is as good as its sources allow; empty for all others.

    Such a row is shown as missed and fails `simsparse validate` like any other. Only the test-suite knows it:
    it fails where a row is missed without a reason, and where a row with a reason is met.
    """

    @property
    def error(self) -> float:
        """Ours ÷ published − 1, or the difference where errors are not relative."""
        return self.ours / self.published - 1 if self.relative else self.ours - self.published

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance."""
        return abs(self.error) <= self.tolerance + 1e-12
