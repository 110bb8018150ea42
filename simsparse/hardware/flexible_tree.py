"""Parameters of the flexible-tree family (SIGMA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexibleTreeParameters:
    """Multipliers that hold any nonzeros of W, joined by a reduction tree that adds what belongs together."""

    family: Literal["flexible-tree"] = "flexible-tree"
    multipliers: int
    """Stationary nonzeros held at once."""
    k_tile: int
    """Positions of k that share a fold: the words of one column of X that can be streamed per cycle."""
    load_words_per_cycle: float
    """Stationary values written into the multipliers per cycle, while nothing streams."""
    fill_cycles: float
    """Cycles from the first streamed column to the first sum, paid once per layer."""

    def __post_init__(self) -> None:
        if min(self.multipliers, self.k_tile) < 1 or self.load_words_per_cycle <= 0:
            raise UsageError("flexible-tree: expected multipliers, k_tile >= 1 and load_words_per_cycle > 0")
