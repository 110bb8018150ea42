"""Weights laid out in pairs of rows: the columns of both first, then each row's own in turn."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.kernels.spmm_pack import count_blocks
from simsparse.kernels.spmm_pack_pairs import fill_pairs, match_rows, pair_lengths
from simsparse.kernels.spmm_pairs import PAIR_LENGTHS, PAIRS_AHEAD
from simsparse.packed.arrays import aligned
from simsparse.packed.tiled import Blocking, Tiled, row_bounds

MATCHED_ROWS = 16
"""Mates are found among so many rows; threads share whole runs of them, so pairs do not depend on threads."""
_COLUMNS, _VALUES = np.array((1, 4, 1, 1)), np.array((2, 4, 1, 1))
"""Columns and values that each of the lengths of a pair stands for."""


def pack_row_pairs(
    weights: CompressedRows, values: NDArray[np.float32], blocking: Blocking, threads: int
) -> Tiled:
    """Pairs of rows, block by block of K; rows with like numbers of weights are mates.

    Pairs of a block are sorted by their lengths, so that ends of loops are foreseen; those without weights
    are left out, but not from the first block, which writes Y, and the last, which finishes it.
    """
    m, k = weights.shape
    blocks = -(-k // blocking.k_block)
    counts = np.zeros((m, blocks), np.int64)
    count_blocks(weights.pointers, weights.columns, blocking.k_block, counts)
    cuts = weights.pointers[:-1, None] + np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
    bounds = row_bounds(counts.sum(axis=1), blocking, k, multiple=MATCHED_ROWS)
    mates = np.empty((blocks, m + m % 2), np.int32)
    match_rows(counts, MATCHED_ROWS, mates)
    lengths = np.zeros((blocks, mates.shape[1] // 2, PAIR_LENGTHS), np.int64)
    pair_lengths(weights.columns, cuts, mates, lengths)
    visits = [
        (block, pair)
        for low, high in itertools.pairwise((bounds + 1) // 2)
        for block in range(blocks)
        for pair in [low + _visited(lengths[block, low:high], keep_all=block in (0, blocks - 1))]
    ]
    block_of = np.concatenate([np.full(pair.size, block) for block, pair in visits])
    pair_of = np.concatenate([pair for _, pair in visits])
    rows, long = mates.reshape(blocks, -1, 2)[block_of, pair_of], lengths[block_of, pair_of]
    starts = np.zeros((block_of.size + 1, 2), np.int64)
    np.cumsum(np.stack((long @ _COLUMNS, long @ _VALUES), axis=1), axis=0, out=starts[1:])
    columns, packed = aligned(int(starts[-1, 0]), np.uint16), aligned(int(starts[-1, 1]), np.float32)
    fill_pairs(weights.columns, values, cuts, block_of, rows, long, starts, blocking.k_block, columns, packed)
    ends = np.cumsum([0, *(pair.size for _, pair in visits)])
    spans = np.column_stack((ends[:-1], ends[1:], starts[ends[:-1]]))
    return Tiled(
        form="pairs",
        shape=weights.shape,
        threads=threads,
        blocking=blocking,
        spans=np.ascontiguousarray(spans, np.int64),
        rows=np.concatenate((rows.ravel(), np.zeros(2 * PAIRS_AHEAD, np.int32))),
        counts=long.astype(np.uint16),
        columns=columns,
        values=packed,
    )


def _visited(lengths: NDArray[np.int64], *, keep_all: bool) -> NDArray[np.int64]:
    """The pairs of one chunk and block in the order of their visits."""
    order = np.lexsort((lengths[:, 0], lengths[:, 1]))
    return order if keep_all else order[lengths[order].any(axis=1)]
