"""What each kernel would take on a machine, and which of them to choose.

>>> from simsparse.load.catalog import load_hardware
>>> machine = load_hardware("epyc-9654")
>>> product = Product(m=64, k=64, n=64)
>>> weights = WeightOperand(64, 64, np.eye(64, dtype=np.bool_))
>>> times = predict_kernels(machine, product, weights, ("csr", "dense"))
>>> fastest(times)
'csr'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_memory import Stream, cpu_of, memory_of
from simsparse.dataflows.cpu_rows import make_work
from simsparse.dataflows.cpu_work import Product, Work, join, layer_cycles
from simsparse.dataflows.task import WeightOperand
from simsparse.errors import UsageError
from simsparse.hardware import CpuRowsParameters, HardwareModel
from simsparse.packed.choose import WIDEST

__all__ = [
    "Candidate",
    "Product",
    "WeightOperand",
    "competing_kernels",
    "fastest",
    "predict",
    "predict_kernels",
]


def competing_kernels(n: int, *, nm: bool = False, blocks: bool = False) -> tuple[str, ...]:
    """The kernels worth a prediction for n columns; ``nm`` and ``blocks`` say what the weights are.

    Those among which ``simsparse.packed.prepare`` chooses: of the kernels for few columns, gathering and
    bitmasks serve one only.
    """
    few = n <= WIDEST
    return (
        *(("gemv-csr", "gemv-bitmask") if n == 1 else ("csr", "grouped")),
        *(("pairs",) if nm and n > 1 else ()),
        *(("gemv-nm",) if nm and few else ()),
        *(("gemv-bsr",) if blocks and few else ()),
        "dense",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A kernel that could run a product; ``keep`` is N of N:M, ``block_rows`` the height of blocks."""

    product: Product
    weights: WeightOperand
    kernel: str
    keep: int = 2
    block_rows: int = 4


def predict_kernels(
    machine: HardwareModel,
    product: Product,
    weights: WeightOperand,
    kernels: Sequence[str],
    *,
    keep: int = 2,
    block_rows: int = 4,
) -> dict[str, float]:
    """Seconds of each kernel for a product on ``product.threads`` cores.

    Raises
    ------
    UsageError
        If the machine has fewer cores.
    """
    asked = [
        Candidate(product=product, weights=weights, kernel=kernel, keep=keep, block_rows=block_rows)
        for kernel in kernels
    ]
    return dict(zip(kernels, predict(machine, asked), strict=True))


def predict(machine: HardwareModel, candidates: Sequence[Candidate]) -> list[float]:
    """Seconds of each candidate; many at once take less time each.

    Counting what a kernel meets passes over the mask, once for each way it is cut; the weights remember it.

    Raises
    ------
    UsageError
        If a product asks for more cores than the machine has.
    """
    parameters = cpu_of(machine)
    batches: dict[tuple[type[Work], int], list[int]] = {}
    works = []
    for place, one in enumerate(candidates):
        if one.product.threads > machine.units:
            raise UsageError(
                f"{machine.name}: expected at most {machine.units} threads, got {one.product.threads}"
                " (ask for fewer)"
            )
        works.append(_work(parameters, one))
        batches.setdefault((type(works[-1]), one.product.threads), []).append(place)
    times = [0.0] * len(candidates)
    for (_, threads), places in batches.items():
        joined = join([works[place] for place in places])
        cycles = layer_cycles(joined, parameters, memory_of(machine, threads))
        for place, taken in zip(places, cycles.tolist(), strict=True):
            times[place] = taken / machine.clock_hz + machine.launch_s
    return times


def _work(machine: CpuRowsParameters, one: Candidate) -> Work:
    return make_work(one.kernel, machine, one.product, one.weights, keep=one.keep, block_rows=one.block_rows)


def read_seconds(machine: HardwareModel, size_bytes: float) -> float:
    """Seconds to read what the last cache holds, as sequential as outputs are, on all cores; 0 on no CPU.

    A kernel that adds a residual reads it beside its outputs, which wait for it.
    """
    if not isinstance(machine.dataflow, CpuRowsParameters):
        return 0.0
    memory = memory_of(machine, machine.units)
    share = np.array([size_bytes / machine.units])
    whole = np.array([float(size_bytes)])
    (traffic,) = memory.streams(Stream(size=share, weights=(1.0, 1.0), footprint=3 * share, shared=3 * whole))
    cycles = traffic.cycles + traffic.dram * memory.channel_cycles_per_byte
    return float(cycles[0]) / machine.clock_hz


def fastest(times_s: Mapping[str, float]) -> str:
    """The kernel with the least time."""
    return min(times_s, key=lambda kernel: times_s[kernel])
