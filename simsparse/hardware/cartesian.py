"""Parameters of machines that deal tiles of the activation plane to a grid of PEs (SCNN and its dense
twins).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError

HASHED_BANKS = 32
"""Banks that the hash of output channel and position tells apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CartesianParameters:
    """All products of nonzero weights and nonzero activations; see ``dataflows/cartesian.py``."""

    family: Literal["cartesian"] = "cartesian"
    grid: tuple[int, int]
    """PEs along the rows and columns of the plane."""
    weight_vector: int
    """Weights that meet all of ``activation_vector`` in one cycle of a PE."""
    activation_vector: int
    output_group: int
    """Output channels accumulated at once; a barrier lies between groups."""
    weight_queue_vectors: int
    """Weight vectors that a PE's queue holds."""
    accumulator_banks: int
    """Banks of a PE's accumulators, each of which takes one product per cycle."""
    accumulator_queue: int
    """Products that wait in front of a bank before the multipliers stall."""
    activation_run_bits: int
    """Zero-run field stored with each nonzero activation."""
    activation_capacity_bytes: float
    """A PE's memory for compressed inputs, and the same again for outputs; a layer that needs more spills."""

    def __post_init__(self) -> None:
        sizes = (*self.grid, self.weight_vector, self.activation_vector, self.output_group)
        if min(*sizes, self.weight_queue_vectors, self.activation_capacity_bytes) < 1:
            raise UsageError(f"cartesian: expected sizes >= 1, got {self}")
        if not 1 <= self.accumulator_banks <= HASHED_BANKS or self.accumulator_queue < 0:
            raise UsageError(
                f"cartesian: expected accumulator_banks of 1 to {HASHED_BANKS}, as the hash tells apart,"
                f" and accumulator_queue >= 0, got {self.accumulator_banks} and {self.accumulator_queue}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanarDenseParameters:
    """The same tiles, every product; see ``dataflows/cartesian_dense.py``."""

    family: Literal["planar-dense"] = "planar-dense"
    grid: tuple[int, int]
    dot_length: int
    """Products summed into one accumulator per cycle and PE."""
    output_group: int
    activation_capacity_bytes: float
    """A PE's memory for inputs, and the same again for outputs; a layer that needs more spills."""
    zero_gating: bool = False
    """Whether a zero operand saves the multiplier's energy."""
    spill_run_bits: int = 0
    """Zero-run field of spilled activations; 0 where they cross DRAM uncompressed."""

    def __post_init__(self) -> None:
        if min(*self.grid, self.dot_length, self.output_group, self.activation_capacity_bytes) < 1:
            raise UsageError(f"planar-dense: expected sizes >= 1, got {self}")
