"""CSR on panels: one splat per kept weight, one FMA per vector; rows of a k block sorted by length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_memory import Memory
from simsparse.dataflows.cpu_tiles import Tiles, beyond_l1, cut_product, make_tiles, tiles_cost
from simsparse.dataflows.cpu_work import Cost, Product
from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.kernels.count_cpu import row_visits
from simsparse.packed.tiled import row_bounds
from simsparse.plan import FloatArray

_INDEX_BYTES = 2  # column inside the k block
_VISIT_BYTES = 12  # row number and where its weights end, per block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CsrWork(Tiles):
    """Panels over compressed rows; ``counts`` are those of ``row_visits``."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What one panel of each piece costs."""
        core = _core(machine, memory, self)
        return tiles_cost(machine, memory, self, core, machine.csr.output_factor)


def csr_work(machine: CpuRowsParameters, product: Product, weights: WeightOperand) -> CsrWork:
    """The pieces of an SpMM with compressed rows."""
    cut = cut_product(machine, product, weights.density, form="csr")
    starts = row_bounds(weights.row_nnz, cut.blocking, product.k)
    counts = weights.counted(row_visits, starts, cut.blocking.k_block)[0].astype(np.float64)
    stream = counts[:, 0] * (product.value_bytes + _INDEX_BYTES) + counts[:, 1] * _VISIT_BYTES
    return make_tiles(CsrWork, machine, product, cut, starts, counts, stream, counts[:, 1])


def _core(machine: CpuRowsParameters, memory: Memory, tiles: Tiles) -> FloatArray:
    costs, u = machine.csr, tiles.vectors
    nnz, visits, odd, of_four, changes, overlap, long, longer, longest = tiles.counts.T
    per_weight = np.array(costs.per_weight)[np.minimum(u, len(costs.per_weight)) - 1]
    # few vectors need several sums to hide the FMA latency: four up to 2, two up to 4; those leave remainders
    left = np.where(u <= 2, of_four, np.where(u <= 4, odd, 0.0))
    over = np.where(u <= 2, longest, np.where(u <= 4, longer, long))
    used, again = nnz / np.maximum(visits, 1) / tiles.block, overlap / np.maximum(nnz, 1)
    missed, sent = beyond_l1(machine, memory, tiles, used, again)
    cycles: FloatArray = (
        nnz * (np.maximum(per_weight, sent) + missed * costs.l2_vector)
        + visits * (costs.row + costs.row_vector * u)
        + left * costs.remainder
        + changes * costs.mispredict
        + over * costs.long_row
    )
    return cycles
