"""Parameters of the GPU family: thread-block tiles on streaming multiprocessors.

Tile shapes, accumulate type and raster order are facts of a library, taken from its source where it is open;
they are inputs of the model like the clock is. One block per kernel family, so that another GPU is another
YAML file. A family has one library that runs by default; others are named beside it, and
:meth:`GpuTilesParameters.with_library` puts one in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from simsparse.errors import UnknownNameError, UsageError

_WARP = 32  # threads


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadBlockTile:
    """One tile a library can choose."""

    shape: tuple[int, int, int]
    """Output rows, output columns, and positions of k per slice."""
    blocks_per_unit: int
    """Thread blocks resident on one SM."""
    stages: int
    """Slices in flight per block: the buffers of its software pipeline."""
    fill_cycles: float
    """From a block's start to its first load: set-up and barriers that nothing in the block overlaps."""
    preference: float = 1.0
    """How the library's heuristic discounts the tile against its arithmetic; 1 for the largest tiles."""

    def __post_init__(self) -> None:
        if min(*self.shape, self.blocks_per_unit, self.stages) < 1 or self.fill_cycles < 0:
            raise UsageError(f"tile {self}: expected sizes >= 1 and fill_cycles >= 0, got {self.shape}")
        if not 0 < self.preference <= 1:
            raise UsageError(f"tile {self}: expected a preference in (0, 1], got {self.preference:g}")

    @property
    def rows(self) -> int:
        """Output rows."""
        return self.shape[0]

    @property
    def columns(self) -> int:
        """Output columns."""
        return self.shape[1]

    @property
    def depth(self) -> int:
        """Positions of k per slice."""
        return self.shape[2]

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileKernel:
    """A library's tile kernel on the matrix pipe."""

    tiles: tuple[ThreadBlockTile, ...]
    efficiency: float
    """Share of the pipe's rate inside the main loop."""
    library: str = ""
    """Whose kernel it is."""
    accumulate: Literal["fp32", "fp16"] = "fp32"
    """In what products of fp16 values are summed; some pipes are slower in fp32."""
    raster_group: int = 1
    """Row panels whose blocks are neighbours in dispatch order; 1 is columns fastest, 0 is rows fastest."""
    maximum_split: int = 1
    """Largest split of k over blocks when the tiles alone leave SMs idle."""
    split_below_utilisation: float = 0.9
    input_copies: int = 0
    """Transposing copies of the inputs that its library makes before the kernel."""
    output_copies: int = 0
    """Transposing copies of the outputs afterwards."""
    weight_bits: float = 0.0
    """Bits of one kept weight with its share of the scales, where weights are narrower than what they meet;
    0 for the bits of the run's dtype.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredKernel:
    """An N:M tile kernel: the pipe skips the removed weights of each group along k."""

    keep: int
    group: int
    rate_factor: float
    """Rate against the dense pipe; at most group / keep."""
    dtypes: tuple[str, ...]
    kernel: TileKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGatherKernel:
    """A V:N:M tile kernel: a tile's rows share ``columns`` of each group of k, and the pipe skips N:M inside
    them. Its tiles' rows are the V that it takes (Spatha).
    """

    keep: int
    columns: int
    """Columns kept of each group along k, whatever the group's size."""
    rate_factor: float
    """Rate against the dense pipe; at most columns / keep."""
    dtypes: tuple[str, ...]
    kernel: TileKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRowKernel:
    """Unstructured rows on the vector cores: a block holds ``rows`` rows by one line of columns (Sputnik)."""

    rows: int
    line_bytes: int
    """Bytes of one row of the inputs that a block loads per kept weight."""
    cycles_per_load: float
    """Issue and L1 limit: SM cycles per kept weight and line."""
    block_cycles: float
    """SM cycles to start and end a block."""
    extra_entries: int
    """Entries each row pays on top of its kept weights (alignment of the vector loads)."""
    round_entries: int
    """Rows are processed in whole multiples of this many entries."""
    resident_rows: int
    """Rows resident on one SM that share lines through its L1."""
    blocks_per_unit: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorBlockKernel:
    """Kept vectors of ``heights`` x 1 weights on the matrix pipe: a block is one warp, one row of vectors by
    one line of columns (CLASP).
    """

    heights: tuple[int, ...]
    """Vector heights V that it takes."""
    block_cycles: tuple[float, ...]
    """SM cycles to start and end a block, one for each height."""
    cycles_per_load: float
    """Issue and latency limit: SM cycles per kept vector and line."""
    line_bytes: int
    round_entries: int
    """Rows of vectors are processed in whole multiples of this many."""
    coherence: float
    """Share of an SM's other resident blocks that are near enough in time to find a block's lines in L1."""
    panel_bytes: float
    """A line of all k up to this size stays in the L1 across blocks."""
    panel_gain: float
    """By which it then multiplies the blocks that find each other's lines."""
    blocks_per_unit: int
    dtypes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.heights) != len(self.block_cycles):
            raise UsageError(
                f"vectors: expected as many block_cycles as heights, got {len(self.block_cycles)}"
                f" and {len(self.heights)}"
            )

    def rows_kernel(self, height: int) -> VectorRowKernel:
        """The same kernel on rows whose entries are vectors of ``height``."""
        return VectorRowKernel(
            rows=1,
            line_bytes=self.line_bytes,
            cycles_per_load=self.cycles_per_load,
            block_cycles=self.block_cycles[self.heights.index(height)],
            extra_entries=0,
            round_entries=self.round_entries,
            resident_rows=self.blocks_per_unit,
            blocks_per_unit=self.blocks_per_unit,
            dtypes=self.dtypes,
        )

    def sharing(self, blocks_per_unit: float, k: int) -> float:
        """Blocks that find each other's lines, where an SM gets so many of one line's blocks."""
        near = 1 + self.coherence * (min(self.blocks_per_unit, max(1.0, blocks_per_unit)) - 1)
        return near * (self.panel_gain if k * self.line_bytes <= self.panel_bytes else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRowKernel:
    """Kept blocks on the matrix pipe: a thread block takes one block row by ``columns`` outputs."""

    columns: int
    minimum_block: int
    """Smallest block side the kernel takes."""
    reference_block: int
    efficiency: float
    """Share of the dense rate at which a kept block of ``reference_block`` squared runs."""
    efficiency_limit: float
    """The share for large blocks; between, it grows with the square root of the block's area."""
    slice_depth: int
    """Positions of k loaded per pipeline stage, in whole blocks."""
    blocks_per_unit: int
    stages: int
    fill_cycles: float
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectKernel:
    """Depthwise and narrow grouped convolutions on the vector cores, one output per thread and step."""

    macs_per_cycle: Mapping[str, float]
    """Vector multiply-adds per cycle and SM, by dtype."""
    efficiency: float
    outputs_per_block: int
    blocks_per_unit: int
    fill_cycles: float
    below_rows: int
    """Grouped convolutions with fewer output channels per group than this take this kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTilesParameters:
    """Thread-block tiles dispatched to SMs; see ``dataflows/gpu_tiles.py``."""

    family: Literal["gpu-tiles"] = "gpu-tiles"
    dram_efficiency: float
    """Sustained share of the DRAM bandwidth."""
    power_ratio: float
    """Power budget by power of the matrix pipes in full use; 1 or more where the clock is never cut."""
    matrix_dtypes: tuple[str, ...]
    """Dtypes of the matrix pipe; the others run on the vector cores, where power never cuts the clock."""
    matrix_k_step: int
    """Positions of k that one matrix instruction consumes."""
    register_bytes_per_mac: float
    """Register-file traffic per multiply on the matrix pipe (fragments and accumulators)."""
    vector_register_bytes_per_mac: float
    """The same on the vector cores: two operands and the accumulator read and written."""
    warp_tile: int
    """Side of one warp's output tile: shared memory is read once per row or column of warps."""
    fp32_accumulate_share: float = 1.0
    """Rate of the fp16 matrix pipe with sums in fp32 against sums in fp16; half on GeForce."""
    dense: TileKernel
    structured: StructuredKernel | None = None
    vnm: ColumnGatherKernel | None = None
    csr: VectorRowKernel | None = None
    bsr: BlockRowKernel | None = None
    vectors: VectorBlockKernel | None = None
    direct: DirectKernel
    dense_libraries: Mapping[str, TileKernel] = field(default_factory=dict)
    """Other libraries' dense kernels; they run only where a machine is given one by :meth:`with_library`."""
    structured_libraries: Mapping[str, TileKernel] = field(default_factory=dict)
    vnm_libraries: Mapping[str, TileKernel] = field(default_factory=dict)
    schedulers: int = 4
    """Warp schedulers of an SM, each with its share of the vector lanes."""
    outputs_per_thread: int = 64
    """Sums that one thread of a dense kernel on the vector cores keeps in registers, 8 x 8 in SGEMM
    kernels.
    """
    sector_bytes: int = 32
    """What a strided access moves between the L2 and an SM, however little of it is wanted."""

    def __post_init__(self) -> None:
        if (
            not 0 < self.dram_efficiency <= 1
            or self.power_ratio <= 0
            or self.matrix_k_step < 1
            or self.warp_tile < 1
            or not 0 < self.fp32_accumulate_share <= 1
        ):
            raise UsageError(
                "gpu-tiles: expected dram_efficiency and fp32_accumulate_share in (0, 1], power_ratio > 0,"
                " matrix steps >= 1"
            )
        if not self.dense.tiles:
            raise UsageError("gpu-tiles: dense: expected at least one tile, got none")

    def with_library(self, name: str) -> GpuTilesParameters:
        """The same machine with another library's kernel as its dense, its structured or its V:N:M one.

        Raises
        ------
        UnknownNameError
            If no other library of that name is listed.
        """
        if name in self.dense_libraries:
            return replace(self, dense=self.dense_libraries[name])
        if name in self.structured_libraries and self.structured is not None:
            structured = replace(self.structured, kernel=self.structured_libraries[name])
            return replace(self, structured=structured)
        if name in self.vnm_libraries and self.vnm is not None:
            return replace(self, vnm=replace(self.vnm, kernel=self.vnm_libraries[name]))
        known = (*self.dense_libraries, *self.structured_libraries, *self.vnm_libraries)
        raise UnknownNameError("library", name, known)

    def issue_share(self, dtype: str, tile: ThreadBlockTile, resident: int) -> float:
        """Share of the vector lanes that so many resident blocks keep busy: a small tile has few warps."""
        if dtype in self.matrix_dtypes:
            return 1.0
        warps = max(1.0, tile.rows * tile.columns / (self.outputs_per_thread * _WARP))
        return min(1.0, resident * warps / self.schedulers)

    def pipe_share(self, dtype: str, accumulate: str) -> float:
        """Share of the matrix pipe's rate with sums in ``accumulate``."""
        return self.fp32_accumulate_share if (dtype, accumulate) == ("fp16", "fp32") else 1.0
