"""Parameters of the mesh of compressed-column PEs (Eyeriss v2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshCscParameters:
    """Scalar-CSC PEs behind a hierarchical mesh that delivers what they need; see
    ``dataflows/mesh_csc.py``.
    """

    family: Literal["mesh-csc"] = "mesh-csc"
    psum_entries: int
    """Partial sums of a PE: rows of W worked on at once."""
    weight_entries: int
    """Nonzero weights that a PE holds."""
    input_entries: int
    """Nonzero inputs of one window that a PE holds."""
    macs_per_pair: int = 1
    """Weights of one column that meet an input in one cycle."""

    def __post_init__(self) -> None:
        if min(self.psum_entries, self.weight_entries, self.input_entries, self.macs_per_pair) < 1:
            raise UsageError(f"mesh-csc: expected sizes >= 1, got {self}")
