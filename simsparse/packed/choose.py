"""Which kernel multiplies what: the table of kernels and the rule that chooses.

The rule compares estimated times (``spmm_cost``, ``gemv_cost``), never by trial when it runs:

- Dense BLAS takes the same time whatever the zeros; compressed rows reach it at a density near 0.8.
- Where half of the weights stand in columns that all rows of a group of four use, groups run at the FMA peak.
- Pairs of rows share enough columns from a density of 0.4 up, if both have equally many weights in a block,
  as with N:M: what one has more runs alone; random patterns took 0.95 to 1.25 times as long as single rows.
- With 32 vector registers a group holds enough sums for random patterns too, down to a density of 0.15.
- For one column, and up to ``WIDEST`` of N:M slots and blocks, matrix-vector kernels compete; for two columns
  of any other pattern the tiled kernels are faster already (measured 1.1 to 2 times).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.errors import UnknownNameError
from simsparse.formats.dense import DenseFormat
from simsparse.kernels.simd import LANES, chosen_isa
from simsparse.kernels.spmm_pack import shared_columns
from simsparse.packed.gemv_cost import gemv_seconds
from simsparse.packed.gemv_nm import fitting_form
from simsparse.packed.request import Request
from simsparse.packed.spmm_cost import spmm_seconds

WIDEST = 4
_SHARED_FROM = 0.5
_GROUPS_FROM = {True: 0.5, False: 0.28}
"""Density from which on random weights run in groups on 32 registers, by whether X is one vector wide.

With one vector a group's row has one sum, which waits for itself. Measured on Zen 4, 256² to 4096x1024.
"""
PAIRS_FROM = 0.4
_SAMPLED_GROUPS = 128  # looking at all takes as long as tens of products with one vector


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelInfo:
    """A kernel's name, the formats whose layout it multiplies as they are, and what it does."""

    name: str
    formats: tuple[str, ...]
    about: str


KERNELS = (
    KernelInfo(name="csr", formats=("csr",), about="compressed rows in blocks of K, tile of X in L1"),
    KernelInfo(
        name="pairs",
        formats=("nm", "vnm"),
        about="two rows at a time: first the columns of both, then each row's own in turn",
    ),
    KernelInfo(
        name="grouped",
        formats=("bsr", "nm", "vnm"),
        about="four rows at a time, a straight loop per set of rows that share a column",
    ),
    KernelInfo(
        name="dense", formats=("dense",), about="all positions: BLAS on one thread, groups of rows on several"
    ),
    KernelInfo(name="gemv-csr", formats=("csr",), about="few columns: gathered inputs"),
    KernelInfo(name="gemv-bitmask", formats=("bitmask",), about="few columns: weights expanded by masks"),
    KernelInfo(name="gemv-nm", formats=("nm",), about="few columns: N:M slots"),
    KernelInfo(name="gemv-bsr", formats=("bsr",), about="few columns: blocks of 4, 8 or 16 rows"),
    KernelInfo(name="portable", formats=(), about="plain loop, any dtype; float64 and integers take it"),
)


def kernels() -> tuple[KernelInfo, ...]:
    """All kernels that ``prepare`` knows."""
    return KERNELS


def choose(request: Request, wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """A kernel's name, and notes on why it is not the wanted one.

    Raises
    ------
    UnknownNameError
        If no kernel has the wanted name.
    """
    if wanted is not None and wanted not in {info.name for info in KERNELS}:
        raise UnknownNameError("kernel", wanted, (info.name for info in KERNELS))
    if not request.is_float:
        noted = wanted not in (None, "portable")
        dtype = request.encoded.dtype
        return "portable", ((f"{wanted}: no {dtype} weights, runs as portable",) if noted else ())
    return wanted or _best(request), ()


def _best(request: Request) -> str:
    if isinstance(request.encoded.format, DenseFormat):
        return "dense"
    isa, n, (m, k) = chosen_isa(), request.n, request.encoded.shape
    stored = request.rows.columns.size
    blocky = _is_blocky(request)
    grouped = isa == "avx512" and request.density >= _GROUPS_FROM[n <= LANES[isa]]
    tiled = "grouped" if blocky or grouped else "csr"
    seconds = {tiled: spmm_seconds("tiled", stored, n, isa)}
    if tiled == "csr" and request.density >= PAIRS_FROM and fitting_form(request.rows) is not None:
        seconds["pairs"] = spmm_seconds("pairs", stored, n, isa)
    if n == 1:
        seconds["dense"] = gemv_seconds("dense", (m, k), m * k)
    else:
        seconds["dense"] = spmm_seconds("dense", m * k, n, isa)
    if n <= WIDEST:
        seconds |= _vector_seconds(request, blocky=blocky, vectorised=isa != "plain")
    return min(seconds, key=lambda name: seconds[name])


def _is_blocky(request: Request) -> bool:
    """Whether half of the weights, in a sample of groups, stand in columns that four rows share."""
    m, k = request.rows.shape
    every = max(1, m // 4 // _SAMPLED_GROUPS)
    found = shared_columns(request.rows.pointers, request.rows.columns, k, every)
    weights = int(found @ np.arange(found.size))
    return weights > 0 and 4 * int(found[4]) >= _SHARED_FROM * weights


def _vector_seconds(request: Request, *, blocky: bool, vectorised: bool) -> dict[str, float]:
    """Estimated times of the matrix-vector kernels that fit."""
    shape, stored, n = request.encoded.shape, request.rows.columns.size, request.n
    form = fitting_form(request.rows) if vectorised else None
    slots = {}
    if n == 1:
        slots["csr"] = stored
        if vectorised:
            slots["bitmask"] = stored
    if form is not None:
        slots["nm"] = shape[0] * -(-shape[1] // form[1]) * form[0]
    if blocky:
        slots["bsr"] = stored
    return {
        f"gemv-{name}": gemv_seconds(name, shape, amount, n=n)  # type: ignore[arg-type]
        for name, amount in slots.items()
    }
