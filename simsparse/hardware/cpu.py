"""Parameters of the CPU family: rows of W on cores.

Two kinds of constants are kept apart: what the machine's memory does (:class:`CoreMemory`), and what the
inner loops of each kernel cost, in cycles. A pair of weights ``(cache, dram)`` says which part of a stream's
time at the measured sequential rate a kernel really waits for: less than one where prefetching hides some of
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from simsparse.errors import UsageError

Pair = tuple[float, float]
Quad = tuple[float, float, float, float]
Five = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMemory:
    """The caches and the memory as one core sees them."""

    footprint_bytes: tuple[float, ...]
    """Footprints at which the sequential read rate was measured, ascending; the last is still cached."""
    read_bytes_per_cycle: tuple[float, ...]
    """That rate for each footprint."""
    l1_usable_bytes: float
    l3_sharers: int
    """Cores that share one L3."""
    l3_usable_bytes: float
    """Of one L3, for data that is read again."""
    l3_written_bytes: float
    """Of one L3, for data that is written: dirty lines count double."""
    cold_above_bytes: float
    """Layers with more weights than this (as dense) do not find them in the L3 at their next turn."""
    dram_bytes_per_cycle: float
    """What one core alone draws from DRAM."""
    dram_efficiency: float
    """Sustained share of the DRAM bandwidth when all cores draw."""

    def __post_init__(self) -> None:
        sizes = self.footprint_bytes
        if (
            not sizes
            or len(sizes) != len(self.read_bytes_per_cycle)
            or any(a >= b for a, b in pairwise(sizes))
        ):
            raise UsageError("cpu-rows: memory: expected ascending footprint_bytes, one read rate each")
        if min(*sizes, *self.read_bytes_per_cycle, self.dram_bytes_per_cycle) <= 0 or self.l3_sharers < 1:
            raise UsageError("cpu-rows: memory: expected sizes and rates > 0 and l3_sharers >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelCosts:
    """What kernels share that work on panels of columns and blocks of k, a packed tile of X in L1."""

    lanes: int
    """Values of one vector."""
    vectors: int
    """Vectors of a full panel."""
    k_block: int
    sparse_k_block: int
    """Rows of the tile for weights at most as dense as ``sparse_density``."""
    sparse_density: float
    launch_cycles: float
    pack: float
    """Cycles per vector packed."""
    pack_ragged: float
    """Factor on ``pack`` where n is no multiple of the lanes."""
    pack_row: float
    pack_tail: float
    split_line: float
    """Cycles per vector of Y that straddles two cache lines."""
    mask: float
    """Cycles per masked row visit in the tail panel."""
    branch_capacity: float
    """Loop exits that the branch predictor memorises."""
    inputs: Pair
    weights: Pair
    outputs: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrCosts:
    """Rows of kept weights: one splat and one FMA per vector for each."""

    per_weight: Quad
    """Cycles per kept weight for panels of 1, 2, 3 and 4 vectors."""
    l2_vector: float
    """Extra cycles per vector of the tile that comes from L2."""
    row: float
    row_vector: float
    remainder: float
    mispredict: float
    long_row: float
    output_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedCosts:
    """Four rows at a time, columns sorted by which of them use it: one load for all, no zero multiplied."""

    fma: float
    load: float
    row_weight: float
    column: float
    group: float
    group_vector: float
    segment: float
    mispredict: float
    long_segment: float
    l2_vector: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCosts:
    """Blocks of output channels, four rows per micro-kernel."""

    fma: float
    load: float
    column: float
    group: float
    group_vector: float
    mispredict: float
    long_row: float
    l2_vector: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherCosts:
    """One column of X: CSR rows that gather 16 inputs at a time."""

    launch_cycles: float
    vector: float
    remainder: float
    row: float
    mispredict: float
    l2_chunk: float
    weights: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandCosts:
    """One column of X: packed weights expanded by a bit mask against 16 contiguous inputs."""

    launch_cycles: float
    chunk: float
    row: float
    l2_chunk: float
    weights: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVectorCosts:
    """One column of X: 16 output channels share an input."""

    launch_cycles: float
    block: float
    group: float
    weights: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCosts:
    """A BLAS sgemm: cycles per (m, k) for 16, 8, 4, 2 and 1 columns, packed and not."""

    launch_cycles: float
    columns: Five
    small_columns: Five
    small_macs: float
    """Products up to this many MACs are not packed."""
    pack_weights: float
    pack_inputs: float
    outputs: float
    small_outputs: float
    small_row: float
    vector_row: float
    streams: Pair
    vector_streams: Pair
    direct_vector: float
    """Cycles per vector multiply of a depthwise or narrow grouped convolution."""
    direct_below_rows: int
    """Grouped convolutions with fewer output channels per group are done directly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRowsParameters:
    """Row blocks on cores; see ``dataflows/cpu_rows.py``."""

    family: Literal["cpu-rows"] = "cpu-rows"
    thread_launch_cycles: float
    """Cycles that each further thread adds to starting and joining a layer."""
    memory: CoreMemory
    panel: PanelCosts
    csr: CsrCosts
    grouped: GroupedCosts
    block: BlockCosts
    gather: GatherCosts
    bitmask: ExpandCosts
    nm: ExpandCosts
    block_vector: BlockVectorCosts
    dense: DenseCosts
