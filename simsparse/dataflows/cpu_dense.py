"""Dense products on a CPU: a BLAS sgemm on blocks of rows and columns, and direct convolutions.

Convolutions pack their windows as they go (implicit im2col). Products of a batch are dealt out to the threads
whole where there are enough of them, else each is cut.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, Stream
from simsparse.dataflows.cpu_work import Cost, Product, overlapped
from simsparse.dataflows.tiling import ceil_div
from simsparse.hardware import CpuRowsParameters
from simsparse.plan import FloatArray, IntArray

_LANES = 16
_ROWS = 8  # granularity of a thread's share of the rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseWork:
    """One block of rows and columns of one product; every field is an array (P,)."""

    layer: IntArray
    thread: IntArray
    count: FloatArray
    m: FloatArray
    k: FloatArray
    n: IntArray
    inputs: FloatArray
    """Elements of X that pass through the caches."""
    first: FloatArray
    """1 on the first piece of a layer."""
    more: FloatArray
    """Threads of the layer besides the first."""
    direct: FloatArray
    """1 where a convolution is summed up directly, without a matrix product."""
    few: FloatArray
    """1 where that is a dense one of few channels."""
    strided: FloatArray
    """1 where it skips columns."""
    one_column: FloatArray
    value_bytes: FloatArray
    faster: FloatArray
    """MACs per cycle against those of fp32."""
    own_bytes: FloatArray
    shared_bytes: FloatArray
    weights_unique: FloatArray
    inputs_unique: FloatArray
    cold_weights: FloatArray
    cold_activations: FloatArray
    evicted: FloatArray

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """Every operand passes once; a product of one column streams its weights only."""
        costs = machine.dense
        weights, inputs = self.m * self.k * self.value_bytes, self.inputs * self.value_bytes
        outputs = (2.0 - self.one_column) * self.m * self.n * self.value_bytes
        vector = self.one_column > 0
        own = self.own_bytes
        stream = functools.partial(Stream, footprint=own, shared=self.shared_bytes)
        of_weights = functools.partial(stream, unique=self.weights_unique, cold=self.cold_weights)
        of_others = functools.partial(stream, weights=costs.streams, cold=self.cold_activations)
        packed, streamed, read, written = memory.streams(
            of_weights(size=np.where(vector, 0.0, weights), weights=costs.streams),
            of_weights(size=np.where(vector, weights, 0.0), weights=costs.vector_streams),
            of_others(size=inputs, unique=self.inputs_unique),
            of_others(size=outputs, written=True),
        )
        further = np.where(self.direct > 0, machine.thread_launch_cycles, costs.thread_launch_cycles)
        loops = vector | (self.direct > 0)
        launch = np.where(loops, costs.loop_launch_cycles, costs.launch_cycles)
        launch = launch + machine.memory.cold_call_cycles * self.cold_activations + self.more * further
        refill = memory.refill_cycles(own - weights * self.cold_weights, self.evicted)
        serial = (launch + refill) * self.first
        core = self._cycles(machine)
        additive = Cost.of(core, packed + streamed + read, written, serial)
        one = overlapped(core, streamed, memory, costs.exposed) + read.cycles + written.cycles
        return replace(additive, cycles=np.where(vector, one, additive.cycles))

    def _cycles(self, machine: CpuRowsParameters) -> FloatArray:
        """Cycles of one block without its streams."""
        costs, n = machine.dense, self.n
        narrow: FloatArray = self.value_bytes / 4
        packed: FloatArray = (
            self.m * self.k * (_by_columns(costs.columns, n) / self.faster + costs.pack_weights * narrow)
        )
        packed = packed + narrow * (self.k * n * costs.pack_inputs + self.m * n * costs.outputs)
        small = (
            self.m * self.k * _by_columns(costs.small_columns, _masked(n)) / self.faster
            + self.m * n * costs.small_outputs
            + self.m * costs.small_row
        )
        cycles = np.where(self.m * self.k * n <= costs.small_macs, small, packed)
        vector = self.m * costs.vector_row + self.k * costs.vector_input
        cycles = np.where(self.one_column > 0, vector, cycles)
        multiply = np.where(self.strided > 0, costs.direct_strided, 1.0) * costs.direct_vector
        multiply = np.where(self.few > 0, costs.direct_few, multiply)
        direct = self.m * (self.k * -(-n // _LANES) * multiply + costs.direct_plane)
        return np.where(self.direct > 0, direct, cycles)


def _by_columns(cycles: tuple[float, ...], n: IntArray) -> FloatArray:
    """Cycles per (m, k): whole vectors of columns, and a remainder kernel for each bit of the rest."""
    total = (n // _LANES).astype(np.float64) * cycles[0]
    for bit, cost in zip((8, 4, 2, 1), cycles[1:], strict=True):
        total = total + (n & bit > 0) * cost
    return total


def _masked(n: IntArray) -> IntArray:
    """Columns that unpacked products compute: more than half a vector's rest is a whole one under a mask.

    Source: sgemm of OpenBLAS 0.3.31 (SkylakeX) up to 10^6 MACs, timed: 9 to 15 columns take as long as 16.
    """
    rest = n % _LANES
    return np.where(rest > _LANES // 2, n - rest + _LANES, n)


def in_groups(machine: CpuRowsParameters, product: Product) -> bool:
    """Whether a dense product is that of groups of full rows rather than BLAS."""
    if machine.dense.library == "blas":
        return False
    several = product.threads > 1 and product.n > 1 and machine.panel.isa != "plain"
    return product.window is not None or (several and _macs(product) > machine.dense.one_thread_macs)


def _macs(product: Product) -> float:
    return product.m * product.k * product.n / product.groups


def dense_work(
    machine: CpuRowsParameters,
    product: Product,
    *,
    faster: float = 1.0,
    direct: bool = False,
    few: bool = False,
) -> DenseWork:
    """The blocks of a dense product on its threads, in the grid that finishes first.

    ``direct`` convolutions are depthwise or narrow grouped ones, or dense ones of ``few`` channels.
    """
    if direct or few:
        return _direct(machine, product, faster, few=few)
    costs = machine.dense
    if _macs(product) <= (costs.one_thread_vector_macs if product.n == 1 else costs.one_thread_macs):
        product = replace(product, threads=min(product.threads, product.groups))
    whole = product.groups >= product.threads
    units = 1 if whole else product.threads // product.groups
    rows = product.m // product.groups
    grids = _grids(units, ceil_div(rows, _ROWS), ceil_div(product.n, _LANES))
    works = [_blocks(machine, product, faster, rows, grid) for grid in grids]
    return min(works, key=lambda work: float(work._cycles(machine).max())) if len(works) > 1 else works[0]


def _grids(units: int, row_units: int, panels: int) -> list[tuple[int, int]]:
    """Rows of blocks times columns of blocks that use the units."""
    columns = {c for c in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128) if c <= min(panels, units)}
    return [(max(1, min(row_units, units // c)), c) for c in sorted(columns)]


def _cuts(total: int, step: int, parts: int) -> list[int]:
    units = ceil_div(total, step)
    upto = [min(part * units // parts * step, total) for part in range(parts + 1)]
    return [high - low for low, high in itertools.pairwise(upto)]


def _blocks(
    machine: CpuRowsParameters, product: Product, faster: float, rows: int, grid: tuple[int, int]
) -> DenseWork:
    """Every product cut by ``grid``, or dealt to the threads whole where there are enough of them."""
    row_parts, column_parts = grid
    blocks = [(m, n) for m in _cuts(rows, _ROWS, row_parts) for n in _cuts(product.n, _LANES, column_parts)]
    abreast = len(blocks)  # threads on one product
    products = min(product.groups, max(1, product.threads // abreast))  # at a time
    dealt = [(p + 1) * product.groups // products - p * product.groups // products for p in range(products)]
    width, k = product.value_bytes, product.k
    sharers = min(products * abreast, machine.memory.l3_sharers)
    operands = (rows * k + k * product.n * product.existing + 2.0 * rows * product.n) * width
    columns = min(column_parts, sharers)
    pieces = []
    for count in dealt:
        for m, n in blocks:
            own = (m * k + k * n + 2.0 * m * n) * width
            together = min(own * sharers, operands * max(1, sharers // abreast))
            pieces.append((count, m, n, k * n, own, together))
    unique = (1 / columns, product.existing / min(max(1, sharers // columns), row_parts))
    return _dense_work(product, faster, pieces, unique)


def _direct(machine: CpuRowsParameters, product: Product, faster: float, *, few: bool) -> DenseWork:
    """Outputs summed up directly, channels dealt to threads."""
    threads = min(product.threads, product.m * ceil_div(product.n, _LANES))
    share = 1.0 / threads
    inputs = share * product.input_bytes / product.value_bytes
    own = (share * product.m * (product.k + product.n) + inputs) * product.value_bytes
    shared = own * min(threads, machine.memory.l3_sharers)
    piece = (1.0, share * product.m, product.n, inputs, own, shared)
    return _dense_work(product, faster, [piece] * threads, (1.0, 1.0), direct=True, few=few)


def _dense_work(
    product: Product,
    faster: float,
    pieces: Sequence[tuple[float, ...]],
    unique: tuple[float, float],
    *,
    direct: bool = False,
    few: bool = False,
) -> DenseWork:
    """One piece per thread: how often, rows, columns, inputs, bytes of its own, bytes of all on its L3.

    In plain numbers, and made arrays at once: one prediction has to be fast.
    """
    same = (
        *(
            len(pieces) - 1,
            product.k,
            direct,
            few,
            product.strided,
            product.n == 1 and not direct,
            product.value_bytes,
            faster,
            *unique,
        ),
        *(product.cold_weights, product.cold_activations, product.evicted),
    )
    table = np.array([(*piece, not place, *same) for place, piece in enumerate(pieces)], np.float64).T
    columns = dict(zip(_PIECE, table, strict=True))
    return DenseWork(
        layer=np.zeros(len(pieces), dtype=np.int64),
        thread=np.arange(len(pieces)),
        n=columns.pop("n").astype(np.int64),
        **columns,
    )


_PIECE = (
    *("count", "m", "n", "inputs", "own_bytes", "shared_bytes", "first"),
    *("more", "k", "direct", "few", "strided", "one_column", "value_bytes", "faster"),
    *("weights_unique", "inputs_unique", "cold_weights", "cold_activations", "evicted"),
)
