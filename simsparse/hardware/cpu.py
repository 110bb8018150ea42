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
Triple = tuple[float, float, float]
Five = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMemory:
    """The caches and the memory as one core sees them."""

    footprint_bytes: tuple[float, ...]
    """Footprints at which the sequential read rate was measured, ascending; the last is still cached."""
    read_bytes_per_cycle: tuple[float, ...]
    """That rate for each footprint."""
    l1_bytes: float
    """Data cache of one core; with ``l2_bytes`` it decides how the sparse kernels block."""
    l2_bytes: float
    """L2 of one core, or its share of one."""
    l1_usable_bytes: float
    """What a packed tile finds of the L1."""
    l3_sharers: int
    """Cores that share one L3."""
    l3_usable_bytes: float
    """Of one L3, for data that is read again."""
    l3_written_bytes: float
    """Of one L3, for data that is written: dirty lines count double."""
    cold_above_bytes: float
    """Layers of more weight bytes than this (as dense) find none of them in the caches at their next turn."""
    cold_call_cycles: float
    """Cycles that a call takes longer when no cache holds its program either."""
    refill_cycles_per_byte: float
    """Cycles per byte of its operands that a layer would still find in the L2, had no others run since."""
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
    """What the tiled kernels share: panels of columns, blocks of k, a packed tile of X.

    How they block is not stated here: ``simsparse.packed.tiled`` decides it from ``isa`` and the caches.
    """

    isa: Literal["avx512", "avx2", "plain"]
    """Vectors of 16, 8 or 4 floats."""
    launch_cycles: float
    call_cycles: float
    """Cycles of the second call, where panels have two widths."""
    pack: float
    """Cycles per vector packed."""
    pack_ragged: float
    """Factor on ``pack`` where n is no multiple of the lanes."""
    pack_row: float
    pack_tail: float
    gather_row: float
    """Cycles per row packed from the windows of a convolution, beyond those of a matrix."""
    gather_piece: float
    """Cycles per run of neighbouring inputs in such a row."""
    gather: float
    """Factor on ``pack`` where inputs of a window are found one by one."""
    split: float
    """Cycles per vector read to take stride 2 out of an image, beside its streams."""
    split_line: float
    """Cycles per vector of Y that straddles two cache lines."""
    mask: float
    """Cycles per masked row visit in the tail panel."""
    branch_capacity: float
    """Loop exits that the branch predictor memorises."""
    inputs: Pair
    weights: Pair
    outputs: Pair
    exposed: float
    """Of a panel's arithmetic and its stream of weights, the part of the shorter that is not hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrCosts:
    """Rows of kept weights: one splat and one FMA per vector for each."""

    per_weight: tuple[float, ...]
    """Cycles per kept weight for panels of 1, 2, … vectors; the last serves wider ones too."""
    l2_vector: float
    """Extra cycles per vector of the tile that comes from L2."""
    row: float
    row_vector: float
    remainder: float
    mispredict: float
    long_row: float
    output_factor: float
    """On the outputs' streams: rows sorted by length are visited out of order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedCosts:
    """Four rows at a time, columns sorted by which of them use it: one load for all, no zero multiplied."""

    fma: float
    load: float
    row_weight: float
    column: float
    latency: float
    """Least cycles of a column: its sums wait for those of the column before."""
    group: float
    plain_group: float
    """Of a group whose columns are used by all four rows or none."""
    group_vector: float
    segment: float
    mispredict: float
    long_segment: float
    l2_vector: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherCosts:
    """Few columns of X: compressed rows, eight side by side."""

    launch_cycles: float
    step: float
    """Cycles per eight weights and one column."""
    wide_step: float
    """The same for two to eight columns together."""
    group: float
    """Per eight rows."""
    input: float
    """Per input of one vector copied; one of several takes longer by a ratio of the model."""
    l2_input: float
    """Extra cycles per gathered input that the L1 does not hold."""
    narrow: float
    """Extra cycles per step whose weights are widened from bf16 or int8."""
    weights: Pair
    exposed: float
    """Of core and weight stream, the part of the shorter that the longer does not hide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandCosts:
    """Few columns of X: packed weights put under their inputs by masks or positions, four rows together."""

    launch_cycles: float
    chunk: float
    """Cycles per word of masks or positions and column."""
    group: float
    """Per four rows and column."""
    input: float
    l2_input: float
    """Extra cycles per vector of inputs that the L1 does not hold."""
    narrow: float
    weights: Pair
    exposed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVectorCosts:
    """Few columns of X: blocks of 16, 8 or 4 output channels share an input."""

    launch_cycles: float
    block: Triple
    """Cycles per block of 16, 8 and 4 rows."""
    further: float
    """Cycles of each column after the first that a block meets in the same pass."""
    group: float
    """Per row of blocks and pass."""
    input: float
    l2_input: float
    """Extra cycles per row of blocks and cache line of inputs that the L1 does not hold."""
    narrow: float
    weights: Pair
    exposed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCosts:
    """A BLAS sgemm: cycles per (m, k) for 16, 8, 4, 2 and 1 columns, packed and not."""

    library: Literal["blas", "packed"]
    """Whose dense kernels: a BLAS, or ``simsparse.packed`` beside one. That multiplies in groups of four full
    rows, at the costs of pattern-grouped ones, on several threads and through windows, and sums convolutions
    of few channels up directly."""
    launch_cycles: float
    loop_launch_cycles: float
    """Cycles to start; the second where nothing is blocked: one column, convolutions summed up directly."""
    thread_launch_cycles: float
    """Cycles that each further thread adds."""
    one_thread_macs: float
    one_thread_vector_macs: float
    """Products up to this many MACs, and those of one column, run on one thread."""
    columns: Five
    small_columns: Five
    small_macs: float
    """Products up to this many MACs are not packed."""
    pack_weights: float
    pack_inputs: float
    """Cycles per input, the look for NaN included."""
    outputs: float
    small_outputs: float
    small_row: float
    vector_row: float
    vector_input: float
    """Cycles per row, and per input, of a product of one column."""
    streams: Pair
    vector_streams: Pair
    exposed: float
    """Of the arithmetic and the weights of one column, the part of the shorter that is not hidden."""
    direct_few: float
    """Cycles per multiply of 16 outputs of a dense convolution of few channels done directly."""
    direct_vector: float
    direct_strided: float
    direct_plane: float
    """Cycles per multiply of 16 outputs of a depthwise or narrow grouped convolution at stride 1, what it is
    times that at others, and cycles per plane of outputs."""
    direct_below_rows: int
    """Grouped convolutions with fewer output channels per group are done directly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRowsParameters:
    """Row blocks on cores; see ``dataflows/cpu_rows.py``."""

    family: Literal["cpu-rows"] = "cpu-rows"
    thread_launch_cycles: float
    vector_thread_launch_cycles: float
    """Cycles that each further thread adds to starting and joining a layer; the second of kernels for few
    columns, which give their threads less to read. BLAS has its own."""
    memory: CoreMemory
    panel: PanelCosts
    csr: CsrCosts
    grouped: GroupedCosts
    gather: GatherCosts
    bitmask: ExpandCosts
    nm: ExpandCosts
    block_vector: BlockVectorCosts
    dense: DenseCosts
