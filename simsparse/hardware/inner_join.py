"""Parameters of the inner-join family (SparTen)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerJoinParameters:
    """Clusters of multipliers that meet bitmask chunks of both operands; see ``dataflows/inner_join.py``."""

    family: Literal["inner-join"] = "inner-join"
    cluster: int
    """Multipliers that share a broadcast chunk of inputs."""
    chunk: int
    """Positions of k in one bitmask chunk, a multiple of 64."""
    minimum_chunk_cycles: int = 1
    """What a multiplier spends on a pair of chunks without a match."""
    balance: Literal["none", "software", "hardware"] = "none"
    """Greedy balancing: two filters per multiplier, dense with sparse, paired for a whole layer or anew in
    every chunk.
    """

    def __post_init__(self) -> None:
        if self.cluster < 1 or self.chunk < 64 or self.chunk % 64 or self.minimum_chunk_cycles < 0:
            raise UsageError(
                "inner-join: expected cluster >= 1, a chunk of whole 64s and minimum_chunk_cycles >= 0,"
                f" got {self.cluster}, {self.chunk}, {self.minimum_chunk_cycles}"
            )

    @property
    def filters_per_unit(self) -> int:
        """Filters that a multiplier holds at once."""
        return 1 if self.balance == "none" else 2
