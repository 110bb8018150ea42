"""RTX 3090: 290 measured products of four sparse libraries (VENOM, SC 2023), and cuBLAS beside them.

Masks are random at the nominal density, as in the measurements: the labels of Sputnik and CLASP are nominal,
2:7 was run as density .29 and the others as .5 .25 .2 .1 .05 .02. Both dense columns are legitimate: rows of
Sputnik and CLASP were set against cuBLAS with fp16 sums, the others against fp32 sums.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from simsparse.load.catalog import load_hardware
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.gpu_timing import Shape, kernel_s, with_library

BoolArray = NDArray[np.bool_]

SEED = 2023
_TARGET = "venom-rtx-3090"
_DENSITY = {"2:4": 0.5, "2:7": 0.29, "2:8": 0.25, "2:10": 0.2, "2:20": 0.1, "2:40": 0.05, "2:100": 0.02}
FP16_SUMS = ("CLASP", "Sputnik")
_TOLERANCES = {
    "cuSPARSELt 2:4": (0.02, 0.05),
    "Spatha(VENOM)": (0.06, 0.12),
    "Sputnik": (0.10, 0.25),
    "CLASP": (0.12, 0.30),
}
"""Median and 90th percentile of the error of the time."""
_ALL = (0.08, 0.20)
_DENSE = (0.05, 0.17)
_APART = 0.10
_RANKED, _BEST = 0.98, 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published row and our time."""

    file: str
    library: str
    shape: Shape
    pattern: str
    vector: str
    ours_us: float
    measured_us: float
    dense_us: tuple[float, float]
    """ours, measured"""

    @property
    def error(self) -> float:
        """Relative, of the time."""
        return abs(self.ours_us / self.measured_us - 1)


def rows() -> list[Row]:
    """All 290 rows, simulated."""
    return [_simulated(published) for published in table("venom_rtx3090_spmm")]


def checks() -> list[Check]:
    """Errors by library and over all, ranking of pairs, best library; see :func:`summary`."""
    return summary(rows())


def summary(found: Sequence[Row]) -> list[Check]:
    """Median and 90th percentile of the times, and how well they rank the libraries."""
    made = [check for library, limits in _TOLERANCES.items() for check in _errors(found, library, limits)]
    made += _quantiles("all libraries", [row.error for row in found], _ALL)
    dense = {(row.shape, row.library in FP16_SUMS): row.dense_us for row in found}
    errors = [abs(ours / measured - 1) for ours, measured in dense.values()]
    made += _quantiles("cuBLAS", errors, _DENSE)
    right = ranked(found)
    made.append(_share(f"{len(right)} pairs more than 10 % apart", "ranked right", right, 1 - _RANKED))
    best = best_library(found)
    made.append(_share(f"{len(best)} shapes and patterns", "best library", best, 1 - _BEST))
    return made


def ranked(found: Iterable[Row]) -> list[bool]:
    """Whether each pair of rows of one shape whose times are apart is in the right order."""
    right = []
    for group in _grouped(found, lambda row: (row.file, row.shape)):
        for a, b in combinations(group, 2):
            if max(a.measured_us, b.measured_us) > (1 + _APART) * min(a.measured_us, b.measured_us):
                right.append((a.ours_us < b.ours_us) == (a.measured_us < b.measured_us))
    return right


def best_library(found: Iterable[Row]) -> list[bool]:
    """Whether each shape and pattern has the right fastest library."""
    right = []
    for group in _grouped(found, lambda row: (row.file, row.shape, row.pattern)):
        ours, measured = (min(group, key=key) for key in (_by_ours, _by_measured))
        right.append(ours.library == measured.library)
    return right


def _by_ours(row: Row) -> float:
    return row.ours_us


def _by_measured(row: Row) -> float:
    return row.measured_us


def _grouped(found: Iterable[Row], key: Callable[[Row], tuple[object, ...]]) -> list[list[Row]]:
    ordered = sorted(found, key=lambda row: str(key(row)))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _errors(found: Sequence[Row], library: str, limits: tuple[float, float]) -> list[Check]:
    return _quantiles(library, [row.error for row in found if row.library == library], limits)


def _quantiles(name: str, errors: Sequence[float], limits: tuple[float, float]) -> list[Check]:
    parts = ("median error of the time", 0.5), ("90th percentile of the error", 0.9)
    return [
        _check(f"{name}, {len(errors)} rows", quantity, float(np.quantile(errors, share)), 0, limit)
        for (quantity, share), limit in zip(parts, limits, strict=True)
    ]


def _share(row: str, quantity: str, right: Sequence[bool], tolerance: float) -> Check:
    return _check(row, quantity, float(np.mean(right)), 1, tolerance)


def _check(row: str, quantity: str, ours: float, published: float, tolerance: float) -> Check:
    return Check(
        target=_TARGET,
        row=row,
        quantity=quantity,
        ours=ours,
        published=published,
        unit="",
        tolerance=tolerance,
        kind="hardware",
        source="github:UDC-GAC/venom@8ddaf38 result/baseline_a.csv and spmm_bert_spatha.csv",
        relative=False,
        note="constants fitted once per library over these rows, never per row",
    )


def _simulated(published: dict[str, str]) -> Row:
    library, pattern = published["library"], published["pattern_N:M"]
    m, k, n = (int(published[name]) for name in ("M", "K", "N"))
    vector = published["V_or_block"]
    return Row(
        file=published["file"],
        library=library,
        shape=(m, k, n),
        pattern=pattern,
        vector=vector,
        ours_us=1e6 * kernel_s(load_hardware("rtx-3090"), (m, k, n), *stored(library, (m, k, n), published)),
        measured_us=1e3 * float(published["spmm_ms"]),
        dense_us=(
            1e6 * _dense_s((m, k, n), library in FP16_SUMS),
            1e3 * float(published["cublas_gemm_ms"]),
        ),
    )


@functools.cache
def _dense_s(shape: Shape, fp16_sums: bool) -> float:
    machine = load_hardware("rtx-3090")
    return kernel_s(with_library(machine, "cublas-fp16-accumulate" if fp16_sums else ""), shape, "dense")


def stored(library: str, shape: Shape, published: dict[str, str]) -> tuple[str, BoolArray | None]:
    """The storage format of a row and its mask, None where all its rows store alike."""
    pattern, vector = published["pattern_N:M"], published["V_or_block"].lstrip("V")
    (m, k, _), group = shape, int(pattern.split(":")[1])
    if library == "cuSPARSELt 2:4":
        return "nm", None
    if library == "Sputnik":
        return "csr", _random_mask(m, k, _DENSITY[pattern])
    if library == "CLASP":
        kept = _random_mask(m // int(vector), k, _DENSITY[pattern])
        return f"bsr:{vector}x1", np.repeat(kept, int(vector), axis=0)
    return f"vnm:{vector}:2:{group}", None if group == 4 else vnm_mask(m, k, int(vector), group)


@functools.lru_cache(maxsize=8)
def _random_mask(rows: int, k: int, density: float) -> BoolArray:
    return np.random.default_rng([SEED, rows, k]).random((rows, k)) < density


@functools.lru_cache(maxsize=8)
def vnm_mask(m: int, k: int, rows: int, group: int) -> BoolArray:
    """A V:2:M mask: random columns for each panel, of which its rows keep the first or the last two in
    turn.
    """
    groups = -(-k // group)
    generator = np.random.default_rng([SEED, m, k, group])
    columns = np.sort(generator.random((m // rows, groups, group)).argsort(axis=2)[:, :, :4], axis=2)
    mask = np.zeros((m, groups, group), dtype=np.bool_)
    for row in range(rows):
        place = 2 * (row % 2)
        np.put_along_axis(mask[row::rows], columns[:, :, place : place + 2], True, axis=2)
    return np.ascontiguousarray(mask.reshape(m, groups * group)[:, :k])
