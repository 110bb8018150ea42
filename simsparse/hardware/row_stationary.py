"""Parameters of the row-stationary array (Eyeriss v1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStationaryParameters:
    """Filter rows stay in PEs, input rows run diagonally, partial sums vertically; see
    ``dataflows/row_stationary.py``.
    """

    family: Literal["row-stationary"] = "row-stationary"
    array: tuple[int, int]
    """PEs: (rows along the kernel's height, columns along the output's)."""
    filters_per_pe: int
    """Filters whose rows a PE interleaves."""
    input_entries: int
    """Inputs a PE holds; one of them receives the next input, which gives the published channels per PE."""
    buffer_bytes: float
    """Global buffer for inputs and partial sums."""
    bus_bytes_per_cycle: float
    """From the global buffer to the array, for each kind of data."""
    run_bits: int
    """Zero-run field of activations in DRAM."""
    word_bits: int
    """DRAM word that holds whole (run, value) pairs."""

    def __post_init__(self) -> None:
        sizes = (*self.array, self.filters_per_pe, self.buffer_bytes, self.run_bits, self.word_bits)
        if min(sizes) < 1 or self.input_entries < 2 or self.bus_bytes_per_cycle <= 0:
            raise UsageError(f"row-stationary: expected sizes >= 1 and input_entries >= 2, got {self}")
