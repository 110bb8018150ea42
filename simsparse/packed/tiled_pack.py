"""Weights laid out for the tiled products: blocked compressed rows, and groups of four rows."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.kernels.spmm_pack import count_blocks, fill_blocks, pack_groups
from simsparse.kernels.spmm_tile import AHEAD
from simsparse.packed.arrays import aligned
from simsparse.packed.tiled import GROUP_ROWS, Blocking, Tiled, row_bounds
from simsparse.packed.tiled_pairs import pack_row_pairs

_SETS = 16


def pack_tiled(
    form: str, weights: CompressedRows, values: NDArray[np.float32], blocking: Blocking, threads: int
) -> Tiled:
    """Weights in one of the tiled forms: "csr", "pairs" or "grouped"."""
    pack = {"csr": pack_rows, "pairs": pack_row_pairs, "grouped": pack_row_groups}[form]
    return pack(weights, values, blocking, threads)


def pack_rows(
    weights: CompressedRows, values: NDArray[np.float32], blocking: Blocking, threads: int
) -> Tiled:
    """Compressed rows, block by block of K; rows of a block sorted by weights, empty ones left out.

    The first and the last block keep all rows: the first writes Y without reading it, the last finishes it.
    """
    m, k = weights.shape
    blocks = -(-k // blocking.k_block)
    counts = np.zeros((m, blocks), np.int64)
    count_blocks(weights.pointers, weights.columns, blocking.k_block, counts)
    bounds = row_bounds(counts.sum(axis=1), blocking, k)
    rows, ends, spans, places = [], [np.zeros(1, np.int64)], [0], np.zeros((m, blocks), np.int64)
    filled = 0
    for low, high in itertools.pairwise(bounds):
        for block in range(blocks):
            here = counts[low:high, block]
            order = np.argsort(here, kind="stable")
            if 0 < block < blocks - 1:
                order = order[np.searchsorted(here[order], 1) :]
            until = filled + np.cumsum(here[order])
            places[low + order, block] = until - here[order]
            filled = int(until[-1]) if until.size else filled
            rows.append(low + order)
            ends.append(until)
            spans.append(spans[-1] + order.size)
    columns, packed = aligned(filled, np.uint16), aligned(filled, np.float32)
    fill_blocks(weights.pointers, weights.columns, values, blocking.k_block, places, columns, packed)
    listed = np.concatenate([*rows, np.zeros(AHEAD, np.int64)]).astype(np.int32)
    return Tiled(
        form="csr",
        shape=weights.shape,
        threads=threads,
        blocking=blocking,
        spans=np.array(spans, np.int64),
        rows=listed,
        counts=np.concatenate(ends),
        columns=columns,
        values=packed,
    )


def pack_row_groups(
    weights: CompressedRows, values: NDArray[np.float32], blocking: Blocking, threads: int
) -> Tiled:
    """Groups of four rows, block by block of K; columns sorted by the set of rows that use them."""
    m, k = weights.shape
    blocks, groups = -(-k // blocking.k_block), -(-m // GROUP_ROWS)
    bounds = row_bounds(np.diff(weights.pointers), blocking, k, multiple=GROUP_ROWS)
    spans = np.zeros((blocking.chunks, blocks, 5), np.int64)
    lengths = np.zeros((groups * blocks, _SETS), np.uint16)
    columns, packed = aligned(values.size, np.uint16), aligned(values.size, np.float32)
    used, _ = pack_groups(
        weights.pointers,
        weights.columns,
        values,
        k,
        blocking.k_block,
        bounds,
        spans,
        lengths,
        columns,
        packed,
    )
    rows = np.arange((groups + 1) * GROUP_ROWS, dtype=np.int32)  # the last is only asked for ahead
    rows[m:] = (groups - 1) * GROUP_ROWS  # rows that are not there write to the group's first, before it does
    return Tiled(
        form="grouped",
        shape=weights.shape,
        threads=threads,
        blocking=blocking,
        spans=spans,
        rows=rows,
        counts=lengths,
        columns=columns[:used],
        values=packed,
    )
