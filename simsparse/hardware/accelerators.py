"""Parameters of the accelerator dataflow families; their files under ``dataflows`` tell what each does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SystolicParameters:
    """Weight-stationary systolic array: ``rows`` along k, ``columns`` along m."""

    family: Literal["systolic"] = "systolic"
    rows: int
    columns: int
    accumulator_entries: int
    """Partial sums each array column can hold: the n columns streamed before outputs leave."""
    zero_gating: bool = False
    """Whether a zero weight or activation saves the multiplier's energy."""
    pipeline_fill: bool = True
    """Whether the skew of the last tile (rows + columns cycles) is paid once per layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCoreParameters:
    """Tensor core fed from shared memory; with ``keep`` of ``group`` it skips structured zeros of W."""

    family: Literal["tensor-core"] = "tensor-core"
    keep: int = 0
    """N of the N:M pattern whose zeros are skipped; 0 for a core that skips nothing."""
    group: int = 0
    """M of the N:M pattern; 0 for a core that skips nothing."""
    wider_groups: tuple[int, ...] = ()
    """Further M that a flexible core takes with the same N."""
    metadata_bits: tuple[int, ...] = ()
    """Bits of one kept weight's position, for ``group`` and each of ``wider_groups``; empty for
    ``ceil(log2 M)``.
    """
    compressed_inputs: bool = False
    """Whether X is held as nonzeros and a bitmap; its zeros are then gated at the multipliers."""
    tile_m: int
    """Rows of W (outputs) per panel; inputs are read from shared memory once per panel."""
    tile_n: tuple[int, ...]
    """Column tiles to choose from; the one with least shared-memory traffic is taken."""
    k_step: int
    """Kept positions along k that one step consumes; k is padded to whole steps."""

    def __post_init__(self) -> None:
        if self.metadata_bits and len(self.metadata_bits) != len(self.groups):
            raise UsageError(
                f"tensor-core: metadata_bits: expected one for each of {len(self.groups)} groups,"
                f" got {len(self.metadata_bits)} (or leave it out)"
            )

    @property
    def groups(self) -> tuple[int, ...]:
        """All M that the core takes."""
        return (self.group, *self.wider_groups) if self.group else ()

    def position_bits(self, group: int) -> int:
        """Bits of one kept weight's position in a group of this size."""
        if self.metadata_bits:
            return self.metadata_bits[self.groups.index(group)]
        return max(1, (group - 1).bit_length())


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastCscParameters:
    """Compressed columns interleaved over PEs; nonzero activations are broadcast into per-PE queues."""

    family: Literal["broadcast-csc"] = "broadcast-csc"
    queue_depth: int
    run_bits: int
    destination_registers: int
    """Outputs accumulated per PE and pass."""
    entries_per_pe: int
    """Capacity of a PE's weight memory in (run, weight) entries."""
    minimum_busy_cycles: int = 1
    """What a PE spends on a column in which it holds nothing (its pointer read)."""
    control_overhead: float = 0.0
    """Share added to the queue-accurate time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarCscParameters:
    """One PE that multiplies only nonzero weights with nonzero activations, both compressed by column."""

    family: Literal["scalar-csc"] = "scalar-csc"
    psum_entries: int
    """Partial sums held."""
    row_tile: int
    """Rows of W worked on at once for one output position."""
    k_tile: int
    """Columns of W worked on at once."""
    macs_per_pair: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.row_tile <= self.psum_entries or min(self.k_tile, self.macs_per_pair) < 1:
            raise UsageError(
                f"scalar-csc: expected sizes >= 1 and row_tile <= psum_entries = {self.psum_entries},"
                f" got {self}"
            )
