"""Layout copies that a library makes around its kernel: transposing passes over inputs or outputs.

A copy that writes rows and reads columns wants one value of each sector it touches, so a whole sector crosses
from the L2 to the SM for every value; neighbours of the value are read by other blocks, rows later, while the
sector is still in the L2. DRAM therefore moves each value once in and once out, and the L2 feed usually is
what binds: for fp16 values 34 bytes per value instead of 4.

The copies are blocks of the same plan, before or after the kernel's own and separated by a barrier, and one
more launch each.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simsparse.dataflows.gpu_machine import Product, l2_capacity, parameters, starts
from simsparse.dataflows.task import LayerTask
from simsparse.dataflows.tiling import spread
from simsparse.hardware.gpu import TileKernel
from simsparse.plan import IntArray, Plan

_SLICES = 4  # of each copying block, enough for its loads to overlap with each other


def with_copies(task: LayerTask, plan: Plan, kernel: TileKernel, product: Product) -> Plan:
    """The kernel's plan with its library's copies before and after it."""
    before = [product.input_bytes * 8 // task.value_bits] * kernel.input_copies
    after = [product.output_bytes * 8 // task.value_bits] * kernel.output_copies
    if not before and not after:
        return plan
    blocks = plan.units * plan.slots_per_unit
    first, last = (_copies(task, plan, sizes, blocks) for sizes in (before, after))
    sizes = [blocks] * len(before) + [plan.tiles] + [blocks] * len(after)
    counts = np.full(sum(sizes), _SLICES, dtype=np.int64)
    own = slice(blocks * len(before), blocks * len(before) + plan.tiles)
    counts[own] = np.diff(plan.slice_start)
    idle = [np.zeros(len(part[0])) for part in (first, last)]
    launches = len(before) + len(after)
    return replace(
        plan,
        slice_start=starts(counts),
        fetch_bytes=np.concatenate([first[0], plan.fetch_bytes, last[0]]),
        drain_bytes=np.concatenate([first[1], plan.drain_bytes, last[1]]),
        compute_cycles=np.concatenate([idle[0], plan.compute_cycles, idle[1]]),
        barrier=np.repeat(np.arange(len(sizes)), sizes),
        overhead_cycles=plan.overhead_cycles + launches * task.hardware.launch_s * task.hardware.clock_hz,
    )


def transposed_bytes(elements: int, value_bits: int, sector_bytes: int) -> tuple[int, int]:
    """Bytes of a transposing copy: read through the L2, and written (or read from DRAM) once.

    >>> transposed_bytes(10, 16, 32)
    (320, 20)
    """
    once = -(-elements * value_bits // 8)
    return max(once, elements * sector_bytes), once


def _copies(task: LayerTask, plan: Plan, sizes: list[int], blocks: int) -> tuple[IntArray, IntArray]:
    """(S, 4) fetched and (T, 2) drained bytes of copies one after the other."""
    fetch, drain = [plan.fetch_bytes[:0]], [plan.drain_bytes[:0]]
    shares, ends = np.ones(blocks * _SLICES), np.ones(blocks)
    for elements in sizes:
        gathered, once = transposed_bytes(elements, task.value_bits, parameters(task).sector_bytes)
        missing = once if 2 * once > l2_capacity(task) else 0
        none = np.zeros(len(shares), dtype=np.int64)
        fetch.append(np.stack([none, none, spread(gathered, shares), spread(missing, shares)], axis=1))
        drain.append(np.stack([spread(once, ends), spread(once, ends)], axis=1))
    return np.concatenate(fetch), np.concatenate(drain)
