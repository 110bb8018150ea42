"""SpMM on panels of columns: pack a tile of X, then pass all rows of the thread over it.

The panels, the blocks of K and the shares of the threads are those that ``simsparse.packed`` would choose on
the machine. The time of a panel is additive: pack + core + weights + outputs. The kernels differ in the core
and in the bytes that their weights stream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, Stream, tile_hits
from simsparse.dataflows.cpu_work import Cost, Product, overlapped
from simsparse.hardware import CpuRowsParameters
from simsparse.kernels.simd import LANES
from simsparse.packed.conv_window import SHARED_FLOATS
from simsparse.packed.host import Caches
from simsparse.packed.panels import Panels, panels, shares
from simsparse.packed.tiled import Blocking, blocking_of
from simsparse.plan import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """Panels of one width that one thread walks; every field is an array (P,), ``counts`` is (P, C)."""

    layer: IntArray
    thread: IntArray
    count: FloatArray
    vectors: IntArray
    lanes: IntArray
    calls: FloatArray
    """Calls of the kernel that the layer takes, on its first piece; 0 on the others."""
    tail: FloatArray
    """1 where the last vector of the panel is masked."""
    ragged: FloatArray
    """1 where vectors straddle cache lines."""
    row_bytes: FloatArray
    block: FloatArray
    blocks: FloatArray
    packed_rows: FloatArray
    row_pieces: FloatArray
    """Runs of neighbouring inputs in a row packed through a window; 0 for a matrix."""
    gathered: FloatArray
    """1 where such inputs are found one by one."""
    fresh: FloatArray
    """Share of what is packed that the L1 does not hold already."""
    read_before: FloatArray
    """Floats that a thread rearranges before the layer's first piece, and those that it writes."""
    written_before: FloatArray
    counts: FloatArray
    """What the kernel counted in the thread's rows, the same for all of its panels."""
    stream_bytes: FloatArray
    rows: FloatArray
    visits: FloatArray
    own_bytes: FloatArray
    shared_bytes: FloatArray
    once: FloatArray
    """1 where the thread has one panel, so that its weights return only with the next call."""
    panels: FloatArray
    """Panels of the thread."""
    abreast: FloatArray
    """Threads on one L3 that share the rows."""
    neighbours: FloatArray
    """Threads on one L3 that share the columns."""
    existing: FloatArray
    cold_weights: FloatArray
    cold_activations: FloatArray
    evicted: FloatArray


AnyTiles = TypeVar("AnyTiles", bound=Tiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a product is cut on a machine."""

    blocking: Blocking
    panels: Panels
    runs: int
    """Runs of panels; times ``blocking.chunks`` chunks of rows they are the threads."""


def caches_of(machine: CpuRowsParameters) -> Caches:
    """What the choices of ``simsparse.packed`` need to know of a machine."""
    return Caches(l1_bytes=int(machine.memory.l1_bytes), l2_bytes=int(machine.memory.l2_bytes))


def cut_product(machine: CpuRowsParameters, product: Product, density: float, *, form: str) -> Cut:
    """Blocks, panels and shares as ``simsparse.packed`` chooses them for one of its tiled forms."""
    isa = machine.panel.isa
    blocking = blocking_of(
        form,
        k=product.k,
        n=product.n,
        density=density,
        threads=product.threads,
        uses=0.0 if product.window else density * product.m,
        isa=isa,
        caches=caches_of(machine),
    )
    cut = panels(product.n, blocking.vectors, isa)
    return Cut(blocking=blocking, panels=cut, runs=product.threads // blocking.chunks)


def make_tiles(
    kind_of_work: type[AnyTiles],
    machine: CpuRowsParameters,
    product: Product,
    cut: Cut,
    starts: IntArray,
    counts: FloatArray,
    stream_bytes: FloatArray,
    visits: FloatArray,
) -> AnyTiles:
    """The pieces of all threads; ``starts`` bound the chunks of rows, the other arrays hold one per chunk.

    In plain numbers, and made arrays at the end: there are few pieces, and one prediction has to be fast.
    """
    whole, lanes, width = cut.panels, LANES[machine.panel.isa], product.value_bytes
    ragged, short = product.n % lanes != 0, -product.n % lanes
    bounds, streams, seen = starts.tolist(), stream_bytes.tolist(), visits.tolist()
    sharers = min(product.threads, machine.memory.l3_sharers)
    abreast = min(cut.runs, sharers)
    neighbours = min(cut.blocking.chunks, sharers // abreast)
    both = product.threads == 1 and 0 < whole.wides < whole.total
    table = shares(whole.wides, whole.total, product.threads, cut.blocking.chunks)
    rows_of_group = product.m // product.groups
    window = product.window
    parts_before = product.threads if product.rearranged[0] >= SHARED_FLOATS else 1
    before = tuple(amount / parts_before for amount in product.rearranged)
    pieces: list[tuple[float, ...]] = []
    for thread, (first, last, narrow_first, narrow_last, chunk) in enumerate(table.tolist()):
        parts = _parts(whole, last - first, last, narrow_last - narrow_first, narrow_last)
        low, high = bounds[chunk], bounds[chunk + 1]
        walked = sum(count for count, _, _ in parts)
        wide = sum(count * (vectors * lanes - short * ends) for count, vectors, ends in parts)
        inputs = product.input_bytes * wide / product.n
        outputs = (high - low) * wide * width
        touched = (high - 1) // rows_of_group - low // rows_of_group + 1 if high > low else 0
        for count, vectors, ends in parts:
            columns = vectors * lanes - short * ends
            pieces.append(
                (
                    *(thread, count, vectors, lanes, 0 if pieces else 1 + both, ends and ragged, ragged),
                    *(columns * width, cut.blocking.k_block, -(-product.k // cut.blocking.k_block)),
                    *(touched * product.k, window.pieces * columns / product.n if window else 0, chunk),
                    window is not None and window.gathered,
                    window.fresh(columns, product.existing) if window else 1.0,
                    *((0.0, 0.0) if pieces else before),
                    *(streams[chunk], high - low, seen[chunk], streams[chunk] + inputs + outputs),
                    streams[chunk] * (sharers // abreast) + inputs * abreast + outputs * sharers,
                    *(walked <= 1, walked, abreast, neighbours, product.existing),
                    *(product.cold_weights, product.cold_activations, product.evicted),
                )
            )
    columns_of = dict(zip(_PIECE, np.array(pieces, dtype=np.float64).T, strict=True))
    chunks = columns_of.pop("chunk").astype(np.int64)
    whole_numbers = {name: columns_of.pop(name).astype(np.int64) for name in ("thread", "vectors", "lanes")}
    return kind_of_work(
        layer=np.zeros(len(pieces), dtype=np.int64), counts=counts[chunks], **whole_numbers, **columns_of
    )


_PIECE = (
    *("thread", "count", "vectors", "lanes", "calls", "tail", "ragged"),
    *("row_bytes", "block", "blocks"),
    *("packed_rows", "row_pieces", "chunk"),
    *("gathered", "fresh", "read_before", "written_before"),
    *("stream_bytes", "rows", "visits", "own_bytes"),
    "shared_bytes",
    *("once", "panels", "abreast", "neighbours", "existing"),
    *("cold_weights", "cold_activations", "evicted"),
)


def _parts(
    whole: Panels, wide: int, wide_end: int, narrow: int, narrow_end: int
) -> list[tuple[int, int, bool]]:
    """A thread's panels: how many, of how many vectors, and whether it is the one that ends X."""
    ends_wide = wide > 0 and whole.wides == whole.total == wide_end
    ends_narrow = narrow > 0 and narrow_end == whole.total - whole.wides
    parts = (
        (wide - ends_wide, whole.wide.count, False),
        (narrow - ends_narrow, whole.narrow.count, False),
        (int(ends_wide), whole.wide.count, True),
        (int(ends_narrow), whole.narrow.count, True),
    )
    return [part for part in parts if part[0]]


def beyond_l1(
    machine: CpuRowsParameters, memory: Memory, tiles: Tiles, used: FloatArray, overlap: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Vectors of a row of the tile that the L1 lacks, and the cycles in which the cache behind sends them.

    ``used`` and ``overlap`` are those of ``tile_hits``. Arithmetic hides the way to that cache, not its
    bandwidth: a row of the tile that feeds one weight may well wait for it, one that feeds four does not.
    """
    size = tiles.block * tiles.vectors * tiles.lanes * 4
    vectors = tiles.vectors * (1 - tile_hits(machine.memory.l1_usable_bytes, size, used, overlap))
    return vectors, vectors * tiles.lanes * 4 * memory.cycles_per_byte(size)


def tiles_cost(
    machine: CpuRowsParameters, memory: Memory, tiles: Tiles, core: FloatArray, output_factor: float
) -> Cost:
    """What one panel of each piece costs, given the cycles of its core."""
    costs = machine.panel
    packed = tiles.packed_rows * tiles.row_bytes
    cold = tiles.cold_activations
    inputs = Stream(
        size=packed * tiles.fresh,
        weights=costs.inputs,
        footprint=tiles.own_bytes,
        shared=tiles.shared_bytes,
        unique=tiles.existing / tiles.fresh / tiles.neighbours,
        cold=cold,
    )
    passed = tiles.stream_bytes + packed + tiles.rows * tiles.row_bytes
    once = tiles.once > 0
    weights = Stream(
        size=tiles.stream_bytes,
        weights=costs.weights,
        footprint=np.where(once, tiles.own_bytes, passed),
        shared=np.where(once, tiles.shared_bytes, passed * memory.sharers),
        unique=1 / tiles.abreast,
        cold=tiles.cold_weights / tiles.panels,  # later panels find what fits
    )
    read, streamed, first, later = memory.streams(
        inputs, weights, *_outputs(machine, memory, tiles, output_factor)
    )
    written = first + later
    pack = tiles.packed_rows * (
        tiles.vectors
        * costs.pack
        * (1 + (costs.pack_ragged - 1) * tiles.ragged)
        * (1 + (costs.gather - 1) * tiles.gathered)
        + costs.pack_row
        + costs.pack_tail * tiles.tail
        + costs.gather_row * (tiles.row_pieces > 0)
        + costs.gather_piece * tiles.row_pieces
    )
    edges = tiles.visits * (costs.split_line * tiles.vectors * tiles.ragged + costs.mask * tiles.tail)
    launch = costs.launch_cycles + machine.memory.cold_call_cycles * tiles.cold_activations
    launch = launch + (memory.threads - 1) * machine.thread_launch_cycles
    launch = launch + memory.refill_cycles(
        tiles.own_bytes - tiles.stream_bytes * tiles.cold_weights, tiles.evicted
    )
    serial = launch * (tiles.calls > 0) + costs.call_cycles * np.maximum(tiles.calls - 1, 0)
    if tiles.read_before.any():
        serial = serial + _rearranging(machine, memory, tiles)
    additive = Cost.of(pack + edges + core, read + streamed, written, serial)
    beside = overlapped(core, streamed, memory, costs.exposed)
    return replace(additive, cycles=pack + edges + beside + read.cycles + written.cycles)


def _rearranging(machine: CpuRowsParameters, memory: Memory, tiles: Tiles) -> FloatArray:
    """Cycles of taking the stride out of images: two shuffles a vector, and both images as streams."""
    costs = machine.panel
    size = 4 * (tiles.read_before + tiles.written_before)
    both = partial(Stream, footprint=size, shared=size * memory.sharers)
    read, written = memory.streams(
        both(size=4 * tiles.read_before, weights=costs.inputs, cold=tiles.cold_activations),
        both(size=4 * tiles.written_before, weights=costs.outputs, written=True),
    )
    passed = read + written
    core = tiles.read_before / LANES[costs.isa] * costs.split
    cycles: FloatArray = core + passed.cycles + passed.dram * memory.channel_cycles_per_byte
    return cycles


def _outputs(
    machine: CpuRowsParameters, memory: Memory, tiles: Tiles, factor: float
) -> tuple[Stream, Stream]:
    """The first visit of a row writes it; every later block of K reads and writes it again."""
    cache, dram = machine.panel.outputs
    pair = (cache * factor, dram * factor)
    first = Stream(
        size=tiles.rows * tiles.row_bytes,
        weights=pair,
        footprint=tiles.own_bytes,
        shared=tiles.shared_bytes,
        written=True,
        cold=tiles.cold_activations,
    )
    again = (tiles.rows + tiles.block) * tiles.row_bytes + tiles.stream_bytes / tiles.blocks
    later = Stream(
        size=2 * np.maximum(0.0, tiles.visits - tiles.rows) * tiles.row_bytes,
        weights=pair,
        footprint=again,
        shared=again * memory.sharers,
        written=True,
    )
    return first, later
