"""Which kernel multiplies what: the table of kernels and the rule that chooses.

The rule compares cycles per dense FMA position, measured once on a CPU with two loads and two FMAs a cycle,
never by trial when it runs:

- dense BLAS takes 1 / 0.9 of the FMA peak whatever the zeros, compressed rows density / 0.63 near one half;
  they meet at a density of 0.7.
- Where half of the weights stand in columns that all rows of a group of four use, groups run at the peak.
- With 32 vector registers a group holds enough sums for random patterns too, down to a density of 0.15.
- Up to ``WIDEST`` columns panels would be mostly empty: matrix-vector kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.errors import UnknownNameError
from simsparse.formats.dense import DenseFormat
from simsparse.kernels.simd import chosen_isa
from simsparse.kernels.spmm_pack import shared_columns
from simsparse.packed.request import Request

DENSE_FROM = 0.7
WIDEST = 4
_SHARED_FROM = 0.5
_GROUPS_FROM = 0.15
_BITMASK_FROM = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelInfo:
    """A kernel's name, the formats whose layout it multiplies as they are, and what it does."""

    name: str
    formats: tuple[str, ...]
    about: str


KERNELS = (
    KernelInfo(name="csr", formats=("csr",), about="compressed rows in blocks of K, tile of X in L1"),
    KernelInfo(
        name="grouped",
        formats=("bsr", "nm", "vnm"),
        about="four rows at a time, a straight loop per set of rows that share a column",
    ),
    KernelInfo(name="dense", formats=("dense",), about="BLAS over decoded weights"),
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
    density = request.density
    if isinstance(request.encoded.format, DenseFormat) or density >= DENSE_FROM:
        return "dense"
    stored = request.rows.columns.size
    shared = 4 * int(shared_columns(request.rows.pointers, request.rows.columns, request.rows.shape[1])[4])
    blocky = stored > 0 and shared >= _SHARED_FROM * stored
    if request.n <= WIDEST:
        return _best_for_vectors(request, blocky=blocky)
    if blocky or (chosen_isa() == "avx512" and density >= _GROUPS_FROM):
        return "grouped"
    return "csr"


def _best_for_vectors(request: Request, *, blocky: bool) -> str:
    if blocky:
        return "gemv-bsr"
    if chosen_isa() == "plain" or request.density < _BITMASK_FROM:
        return "gemv-csr"
    return "gemv-nm" if request.encoded.format.name == "nm" else "gemv-bitmask"
