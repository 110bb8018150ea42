"""Parameters of the indexed-synapse family (Cambricon-X)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSynapseParameters:
    """PEs with compressed weights of their own, each picking the inputs it needs from a shared window; see
    ``dataflows/indexed_synapse.py``.
    """

    family: Literal["indexed-synapse"] = "indexed-synapse"
    multipliers: int
    """Multipliers of a PE: inputs picked per cycle."""
    window: int
    """Positions of k in the shared buffer from which a cycle's inputs are picked."""
    step_bits: int
    """Width of the distance between stored weights; a longer one takes a stored zero."""
    windows_ahead: int = 2
    """Windows that a PE may lie behind the broadcast."""

    def __post_init__(self) -> None:
        if min(self.multipliers, self.window, self.step_bits, self.windows_ahead) < 1 or self.step_bits > 16:
            raise UsageError(f"indexed-synapse: expected sizes >= 1 and step_bits <= 16, got {self}")
