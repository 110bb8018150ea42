"""Pairs of rows: a vector of X that both use is loaded once; what each has alone goes in turn.

Its inner loops are made of the same steps as those of the other tiled kernels, and cost what those cost: a
column of both rows as one that two of four rows share, a column of one row as a weight of compressed rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_memory import Memory
from simsparse.dataflows.cpu_tiles import Tiles, beyond_l1, cut_product, make_tiles, tiles_cost
from simsparse.dataflows.cpu_work import Cost, Product
from simsparse.dataflows.task import BoolArray, WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.kernels.spmm_pack import count_blocks
from simsparse.kernels.spmm_pack_pairs import match_rows, pair_lengths
from simsparse.packed.tiled import row_bounds
from simsparse.packed.tiled_pairs import MATCHED_ROWS
from simsparse.plan import FloatArray, IntArray

_INDEX_BYTES = 2
_VISIT_BYTES = 16  # four lengths and two row numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairsWork(Tiles):
    """Panels over pairs of rows; ``counts`` are those of ``pair_visits``."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What one panel of each piece costs."""
        return tiles_cost(machine, memory, self, _core(machine, memory, self), machine.csr.output_factor)


def pairs_work(machine: CpuRowsParameters, product: Product, weights: WeightOperand) -> PairsWork:
    """The pieces of an SpMM in pairs of rows."""
    cut = cut_product(machine, product, weights.density, form="pairs")
    starts = row_bounds(weights.row_nnz, cut.blocking, product.k, multiple=MATCHED_ROWS)
    counts = weights.counted(pair_visits, starts, cut.blocking.k_block)[0].astype(np.float64)
    shared, single, _, visits, _ = counts.T
    values = 2 * shared + single
    stream = values * product.value_bytes + (shared + single) * _INDEX_BYTES + visits * _VISIT_BYTES
    return make_tiles(PairsWork, machine, product, cut, starts, counts, stream, 2 * visits)


def pair_visits(mask: BoolArray, starts: IntArray, k_block: int) -> tuple[IntArray, FloatArray]:
    """Counts of each part's pairs of rows, as they are packed; no floats.

    The integers (parts, 5): columns of both rows; columns of one row; those of them that run alone, not in
    turn with the other row's; visits, a pair with weights in a block, or any in the first and the last;
    changes of the lengths along the pairs of a block sorted by them.
    """
    m, k = mask.shape
    blocks = -(-k // k_block)
    columns = np.nonzero(mask)[1].astype(np.int32)
    pointers = np.zeros(m + 1, dtype=np.int64)
    np.cumsum(mask.sum(axis=1), out=pointers[1:])
    counts = np.zeros((m, blocks), np.int64)
    count_blocks(pointers, columns, k_block, counts)
    cuts = pointers[:-1, None] + np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
    mates = np.empty((blocks, m + m % 2), np.int32)
    match_rows(counts, MATCHED_ROWS, mates)
    lengths = np.zeros((blocks, mates.shape[1] // 2, 4), np.int64)
    pair_lengths(columns, cuts, mates, lengths)
    return _counted(lengths, (starts + 1) // 2), np.zeros(0)


def _counted(lengths: IntArray, bounds: IntArray) -> IntArray:
    out = np.zeros((len(bounds) - 1, 5), dtype=np.int64)
    for part in range(len(out)):
        for block, those in enumerate(lengths[:, bounds[part] : bounds[part + 1]]):
            used = those if block in (0, len(lengths) - 1) else those[those.any(axis=1)]
            alone = int(used[:, 2:].sum())
            changes = max(0, len(np.unique(used[:, :2], axis=0)) - 1)
            out[part] += (used[:, 0].sum(), 4 * used[:, 1].sum() + alone, alone, len(used), changes)
    return out


def _core(machine: CpuRowsParameters, memory: Memory, tiles: Tiles) -> FloatArray:
    both, alone, u = machine.grouped, machine.csr, tiles.vectors
    shared, single, left, visits, changes = tiles.counts.T
    columns = shared + single
    used = columns / np.maximum(visits, 1) / tiles.block
    missed, sent = beyond_l1(machine, memory, tiles, used, used)
    fed = both.load * u + 2 * both.row_weight + both.column
    per_shared = np.maximum(np.maximum(2 * both.fma * u, fed), np.maximum(both.latency, sent))
    wide = np.minimum(u, len(alone.per_weight)) - 1
    cycles: FloatArray = (
        shared * per_shared
        + single * np.maximum(np.array(alone.per_weight)[wide], np.maximum(both.latency / 2, sent))
        + left * both.latency / 2
        + columns * missed * alone.l2_vector
        + 2 * visits * (alone.row + alone.row_vector * u)
        + changes * alone.mispredict
    )
    return cycles
