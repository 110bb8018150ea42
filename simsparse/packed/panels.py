"""How the columns of X are cut into panels of registers, and panels and rows shared out over threads."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels.simd import LANES, Width, chosen_isa, width


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """``wides`` panels of ``wide`` columns come first, ``total - wides`` of ``narrow`` follow."""

    wide: Width
    narrow: Width
    wides: int
    total: int


def panels(n: int, most: int, isa: str | None = None) -> Panels:
    """``n`` columns as panels of nearly the same number of vectors, at most ``most``.

    Vectors are those of this host, or of the named instruction set.

    >>> cut = panels(130, 8)
    >>> cut.wide.floats * cut.wides + cut.narrow.floats * (cut.total - cut.wides) >= 130
    True
    """
    return _panels(n, most, isa or chosen_isa())


@functools.lru_cache(maxsize=1024)  # asked for in every call
def _panels(n: int, most: int, isa: str) -> Panels:
    lanes = LANES[isa]
    vectors = max(1, -(-n // lanes))
    total = -(-vectors // most)
    narrow, wides = divmod(vectors, total)
    if wides == 0:
        return Panels(wide=width(narrow, isa), narrow=width(narrow, isa), wides=total, total=total)
    return Panels(wide=width(narrow + 1, isa), narrow=width(narrow, isa), wides=wides, total=total)


def panel_groups(total: int, threads: int) -> int:
    """Into how many runs the panels are cut: a divisor of ``threads``; the rest of the threads share rows.

    Runs of panels copy X once, chunks of rows copy it each; but uneven runs leave threads idle, so only runs
    that are even to a tenth.
    """
    divisors = [d for d in range(threads, 0, -1) if threads % d == 0]
    return next(d for d in divisors if -(-total // d) * d <= 1.1 * total)


@functools.lru_cache(maxsize=1024)
def shares(wides: int, total: int, threads: int, chunks: int) -> NDArray[np.int64]:
    """Per thread: wide panels from and to, narrow panels from and to, chunk of rows."""
    runs = threads // chunks
    cuts = [total * run // runs for run in range(runs + 1)]
    wide = [min(cut, wides) for cut in cuts]
    narrow = [max(cut - wides, 0) for cut in cuts]
    parts = list(zip(wide[:-1], wide[1:], narrow[:-1], narrow[1:], strict=True))
    rows = [(*part, chunk) for chunk in range(chunks) for part in parts]
    return np.array(rows, np.int64)
