"""Counting loops of the GPU family: what thread blocks fetch from L2 and from DRAM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@kernel
def tile_traffic(
    weights_panel: IntArray,
    inputs_panel: IntArray,
    first_slice: IntArray,
    slice_start: IntArray,
    weights_bytes: IntArray,
    inputs_bytes: IntArray,
    inputs_unique: IntArray,
    output_bytes: IntArray,
    resident: int,
    capacity: int,
) -> IntArray:
    """(S, 4) bytes of each slice: weights from L2, from DRAM, inputs from L2, from DRAM.

    Block b reads slices ``first_slice[b] …`` of its two panels; ``*_bytes`` are (panels, slices) and
    ``inputs_unique`` what of the inputs is new to DRAM (a convolution's windows overlap). The L2 is a
    footprint counter: a slice of a panel is present if the bytes inserted since its last touch do not exceed
    ``capacity``. ``resident`` blocks at a time advance slice by slice together, in dispatch order; all data
    starts in DRAM.
    """
    blocks = len(weights_panel)
    fetch = np.zeros((slice_start[blocks], 4), dtype=np.int64)
    weights_last = np.full(weights_bytes.shape, -1, dtype=np.int64)
    inputs_last = np.full(inputs_bytes.shape, -1, dtype=np.int64)
    inserted = 0
    for wave in range(0, blocks, resident):
        end = min(wave + resident, blocks)
        longest = 0
        for b in range(wave, end):
            longest = max(longest, slice_start[b + 1] - slice_start[b])
        for step in range(longest):
            for b in range(wave, end):
                at = slice_start[b] + step
                if at >= slice_start[b + 1]:
                    continue
                g, w, x = first_slice[b] + step, weights_panel[b], inputs_panel[b]
                fetch[at, 0] = weights_bytes[w, g]
                if weights_last[w, g] < 0 or inserted - weights_last[w, g] > capacity:
                    fetch[at, 1] = weights_bytes[w, g]
                    inserted += weights_bytes[w, g]
                weights_last[w, g] = inserted
                fetch[at, 2] = inputs_bytes[x, g]
                if inputs_last[x, g] < 0 or inserted - inputs_last[x, g] > capacity:
                    fetch[at, 3] = inputs_unique[x, g]
                    inserted += inputs_unique[x, g]
                inputs_last[x, g] = inserted
        for b in range(wave, end):
            inserted += output_bytes[b]
    return fetch


@kernel
def distinct_columns(mask: BoolArray, order: IntArray, rows: int, stride: int, share: int) -> IntArray:
    """(row blocks,) columns that each block is the first to touch among the blocks it shares an L1 with.

    Block b holds the rows ``order[b·rows : (b+1)·rows]``. Blocks b, b + stride, … run on one SM; ``share``
    consecutive ones of them are resident together.
    """
    blocks = (len(order) + rows - 1) // rows
    columns = mask.shape[1]
    fresh = np.zeros(blocks, dtype=np.int64)
    seen = np.zeros(columns, dtype=np.uint8)
    for unit in range(min(stride, blocks)):
        for first in range(unit, blocks, stride * share):
            seen[:] = 0
            for b in range(first, min(blocks, first + stride * share), stride):
                total = 0
                for i in range(b * rows, min((b + 1) * rows, len(order))):
                    row = order[i]
                    for c in range(columns):  # no branch: a third of the time on random masks
                        kept = np.uint8(mask[row, c])
                        total += kept & ~seen[c] & 1
                        seen[c] |= kept
                fresh[b] = total
    return fresh


@kernel
def kept_blocks(mask: BoolArray, rows: int, columns: int) -> BoolArray:
    """(block rows, block columns): which blocks of ``rows`` x ``columns`` hold a kept weight."""
    height, width = mask.shape
    kept = np.zeros(((height + rows - 1) // rows, (width + columns - 1) // columns), dtype=np.bool_)
    used = np.zeros(width, dtype=np.bool_)
    for block_row in range(len(kept)):
        used[:] = False
        for i in range(block_row * rows, min((block_row + 1) * rows, height)):
            for c in range(width):
                used[c] |= mask[i, c]
        for c in range(width):
            kept[block_row, c // columns] |= used[c]
    return kept


@kernel
def block_traffic(
    block_row: IntArray,
    inputs_panel: IntArray,
    slice_start: IntArray,
    row_pointers: IntArray,
    block_columns: IntArray,
    blocks_per_slice: int,
    weights_bytes: IntArray,
    inputs_bytes: IntArray,
    inputs_unique: IntArray,
    output_bytes: IntArray,
    resident: int,
    capacity: int,
) -> IntArray:
    """(S, 4) bytes of each slice as in :func:`tile_traffic`, for rows of kept blocks.

    Thread block b walks the kept blocks of ``block_row[b]``, ``blocks_per_slice`` at a time; each kept block
    e reads ``weights_bytes[e]`` and the input slice of its column. ``inputs_bytes`` is (panels, block
    columns).
    """
    blocks = len(block_row)
    fetch = np.zeros((slice_start[blocks], 4), dtype=np.int64)
    weights_last = np.full(len(block_columns), -1, dtype=np.int64)
    inputs_last = np.full(inputs_bytes.shape, -1, dtype=np.int64)
    inserted = 0
    for wave in range(0, blocks, resident):
        end = min(wave + resident, blocks)
        longest = 0
        for b in range(wave, end):
            longest = max(longest, slice_start[b + 1] - slice_start[b])
        for step in range(longest):
            for b in range(wave, end):
                at = slice_start[b] + step
                if at >= slice_start[b + 1]:
                    continue
                x = inputs_panel[b]
                begin = row_pointers[block_row[b]] + step * blocks_per_slice
                for e in range(begin, min(begin + blocks_per_slice, row_pointers[block_row[b] + 1])):
                    c = block_columns[e]
                    fetch[at, 0] += weights_bytes[e]
                    if weights_last[e] < 0 or inserted - weights_last[e] > capacity:
                        fetch[at, 1] += weights_bytes[e]
                        inserted += weights_bytes[e]
                    weights_last[e] = inserted
                    fetch[at, 2] += inputs_bytes[x, c]
                    if inputs_last[x, c] < 0 or inserted - inputs_last[x, c] > capacity:
                        fetch[at, 3] += inputs_unique[x, c]
                        inserted += inputs_unique[x, c]
                    inputs_last[x, c] = inserted
        for b in range(wave, end):
            inserted += output_bytes[b]
    return fetch
