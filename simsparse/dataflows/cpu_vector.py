"""A few columns of X: the weights stream once, and the kernels differ in how they meet the inputs.

``csr`` gathers inputs for eight rows side by side; ``bitmask`` and ``nm`` put packed weights under contiguous
inputs; blocks of output channels share an input. Each copies X first, on one thread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, Stream
from simsparse.dataflows.cpu_work import Cost, Product, overlapped
from simsparse.dataflows.task import BoolArray, WeightOperand
from simsparse.dataflows.tiling import ceil_div
from simsparse.hardware import CpuRowsParameters
from simsparse.hardware.cpu import BlockVectorCosts, ExpandCosts, GatherCosts
from simsparse.kernels.count_mask import row_counts
from simsparse.kernels.gemv_bsr import block_passes
from simsparse.kernels.gemv_simd import PICKS
from simsparse.kernels.simd_memory import LINE_BYTES
from simsparse.packed.gemv_bsr import HEIGHTS, fitting_height
from simsparse.packed.gemv_csr import index_dtype
from simsparse.packed.gemv_layout import fair_bounds
from simsparse.plan import FloatArray, IntArray

_LANES = 8
_GROUP = 4
_NO_STARTS = np.zeros(0, dtype=np.int64)
_TURNED = 4.0
"""Times as long as an input of one vector takes one of several, which are copied number by number; timed on
Zen 4: 0.26 and 1.07 cycles."""
_STEPS_PER_GROUP, _BLOCKS_PER_GROUP = 4, 8  # as the packing weighs them when it shares rows out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorWork:
    """All rows of one thread; arrays (P,). ``steps``, ``groups`` count what the kernel's inner loop does."""

    layer: IntArray
    thread: IntArray
    count: FloatArray
    n: FloatArray
    inputs: FloatArray
    """Elements of X, on the first piece of a layer."""
    steps: FloatArray
    groups: FloatArray
    height: IntArray
    x_bytes: FloatArray
    """Bytes of X that a pass over the weights meets."""
    narrow: FloatArray
    """1 where weights are widened from bf16 or int8."""
    stream_bytes: FloatArray
    output_bytes: FloatArray
    cold_weights: FloatArray
    cold_activations: FloatArray
    evicted: FloatArray

    def far(self, machine: CpuRowsParameters) -> FloatArray:
        """Share of the inputs that the L1 does not hold."""
        return 1 - np.minimum(1.0, machine.memory.l1_usable_bytes / self.x_bytes)

    def streamed(
        self,
        machine: CpuRowsParameters,
        memory: Memory,
        core: FloatArray,
        costs: GatherCosts | ExpandCosts | BlockVectorCosts,
    ) -> Cost:
        """The core's cycles beside the stream of weights; X and Y are small, and read and written once."""
        own = self.stream_bytes + self.x_bytes + self.output_bytes
        shared = own * memory.sharers
        read, written = memory.streams(
            Stream(
                size=self.stream_bytes,
                weights=costs.weights,
                footprint=own,
                shared=shared,
                cold=self.cold_weights,
            ),
            Stream(
                size=self.output_bytes,
                weights=(0.0, 0.0),
                footprint=own,
                shared=shared,
                written=True,
                cold=self.cold_activations,
            ),
        )
        launch = costs.launch_cycles + machine.memory.cold_call_cycles * self.cold_activations
        launch = launch + (memory.threads - 1) * machine.vector_thread_launch_cycles
        launch = launch + memory.refill_cycles(own - self.stream_bytes * self.cold_weights, self.evicted)
        copied = self.inputs * np.where(self.n > 1, _TURNED, 1.0)
        serial = launch * (self.inputs > 0) + costs.input * copied
        beyond_l2 = (own > machine.memory.l2_bytes) | (self.cold_weights > 0)
        cycles = overlapped(core, read, memory, np.where(beyond_l2, costs.exposed, 0.0))
        return replace(Cost.of(core, read, written, serial), cycles=cycles + written.cycles)


AnyVectorWork = TypeVar("AnyVectorWork", bound=VectorWork)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatherWork(VectorWork):
    """Eight rows side by side."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What each thread's rows cost."""
        costs = machine.gather
        step = np.where(self.n > 1, costs.wide_step, costs.step) + costs.narrow * self.narrow
        core = self.steps * (step + _LANES * self.far(machine) * costs.l2_input) + self.groups * costs.group
        return self.streamed(machine, memory, core, costs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BitmaskWork(VectorWork):
    """Masks over vectors of inputs, four rows together."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What each thread's rows cost."""
        return _expand(self, machine, memory, nm=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NmWork(VectorWork):
    """Positions inside groups of inputs, four rows together."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What each thread's rows cost."""
        return _expand(self, machine, memory, nm=True)


def _expand(work: BitmaskWork | NmWork, machine: CpuRowsParameters, memory: Memory, *, nm: bool) -> Cost:
    costs = machine.nm if nm else machine.bitmask
    chunk = costs.chunk + costs.narrow * work.narrow + work.far(machine) * costs.l2_input
    core = work.n * (work.steps * chunk + work.groups * costs.group)
    return work.streamed(machine, memory, core, costs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockVectorWork(VectorWork):
    """Blocks of 16, 8 or 4 output channels."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What each thread's rows cost."""
        costs = machine.block_vector
        block = np.select([self.height == tall for tall in HEIGHTS], costs.block) + costs.narrow * self.narrow
        passes, columns = block_passes(self.n)
        meet = passes * block + (columns - passes) * costs.further
        # every row of blocks sweeps X: what does not fit is gone before it is met again
        gone = np.clip(4 * (self.x_bytes / machine.memory.l1_usable_bytes - 1), 0.0, 1.0)
        lines = self.n * self._lines() * gone
        core = self.steps * meet + lines * costs.l2_input + passes * self.groups * costs.group
        return self.streamed(machine, memory, core, costs)

    def _lines(self) -> FloatArray:
        """Lines of a column of X that the block rows use."""
        floats = LINE_BYTES // 4
        k = self.x_bytes / (4 * self.n)
        used = np.minimum(1.0, self.steps / np.maximum(1.0, self.groups * k))
        lines: FloatArray = self.groups * k / floats * (1 - (1 - used) ** floats)
        return lines


def gather_work(product: Product, weights: WeightOperand) -> GatherWork:
    """Compressed rows, longest first, eight side by side; a group takes as many steps as its longest row."""
    steps = weights.counted(_longest_rows, _NO_STARTS, _LANES)[0]
    bounds = fair_bounds(steps + _STEPS_PER_GROUP, product.threads)
    width = product.value_bytes + index_dtype(product.k).itemsize
    stream: FloatArray = _LANES * (width * steps.astype(np.float64) + 8.0)
    return _vector_work(GatherWork, product, bounds, steps, stream, _LANES if product.n > 1 else 1)


def _longest_rows(mask: BoolArray, _: IntArray, rows: int) -> tuple[IntArray, FloatArray]:
    """The longest row of each group of ``rows``, rows in falling order of length."""
    lengths = np.sort(row_counts(mask))[::-1]
    return lengths[::rows].copy(), np.zeros(0)


def _row_groups(mask: BoolArray, _: IntArray, rows: int) -> tuple[IntArray, FloatArray]:
    """Kept weights of each group of ``rows``."""
    return np.add.reduceat(row_counts(mask), np.arange(0, len(mask), rows)), np.zeros(0)


def bitmask_work(machine: CpuRowsParameters, product: Product, weights: WeightOperand) -> BitmaskWork:
    """Bit masks over vectors of columns."""
    lanes = 16 if machine.panel.isa == "avx512" else 8
    chunks = ceil_div(product.k, lanes)
    nnz = weights.counted(_row_groups, _NO_STARTS, _GROUP)[0]
    stream: FloatArray = nnz.astype(np.float64) * product.value_bytes + chunks * lanes / 2
    return _vector_work(BitmaskWork, product, _even(len(nnz), product), np.full(len(nnz), chunks), stream)


def nm_work(product: Product, keep: int) -> NmWork:
    """N:M slots and words of positions."""
    sources, _, vectors = PICKS[keep]
    words = ceil_div(product.k, 8 * sources * vectors)
    groups = ceil_div(product.m, _GROUP)
    stream = np.full(groups, _GROUP * words * (4.0 + 8 * vectors * product.value_bytes))
    return _vector_work(NmWork, product, _even(groups, product), np.full(groups, words), stream)


def block_vector_work(product: Product, weights: WeightOperand, rows: int) -> BlockVectorWork:
    """Blocks one column wide and as tall as fits ``rows``; every position of a kept one is multiplied."""
    tall = fitting_height(rows)
    kept = weights.tall_blocks(tall)
    bounds = fair_bounds(kept + _BLOCKS_PER_GROUP, product.threads)
    each = tall * product.value_bytes + index_dtype(product.k).itemsize
    stream: FloatArray = kept.astype(np.float64) * each + 8.0 + 4 * tall
    return _vector_work(BlockVectorWork, product, bounds, kept, stream, height=tall)


def _even(groups: int, product: Product) -> IntArray:
    return fair_bounds(np.ones(groups, dtype=np.int64), product.threads)


def _vector_work(
    kind: type[AnyVectorWork],
    product: Product,
    bounds: IntArray,
    steps: IntArray,
    stream: FloatArray,
    copies: int = 0,
    height: int = 0,
) -> AnyVectorWork:
    """The threads' shares of the groups: each has its ``steps`` and the bytes it streams."""
    threads = product.threads
    columns = copies or product.n

    def shared_out(values: FloatArray) -> FloatArray:
        upto = np.concatenate([[0.0], np.cumsum(values)])
        parts: FloatArray = upto[bounds[1:]] - upto[bounds[:-1]]
        return parts

    def same(value: float) -> FloatArray:
        return np.full(threads, float(value))

    groups = np.diff(bounds).astype(np.float64)
    inputs = same(0.0)
    inputs[0] = product.k * columns
    return kind(
        layer=np.zeros(threads, dtype=np.int64),
        thread=np.arange(threads),
        count=same(1.0),
        n=same(product.n),
        inputs=inputs,
        steps=shared_out(steps.astype(np.float64)),
        groups=groups,
        height=np.full(threads, height),
        x_bytes=same(4.0 * product.k * columns),
        narrow=same(product.value_bytes < 4),
        stream_bytes=shared_out(stream),
        output_bytes=product.m * product.n * 4.0 * groups / max(1.0, float(groups.sum())),
        cold_weights=same(product.cold_weights),
        cold_activations=same(product.cold_activations),
        evicted=same(product.evicted),
    )
