"""MatrixMarket's ``.mtx``: a matrix as coordinates (from 1) with values, or as an array column by column.

Source: Boisvert, Pozo, Remington, The Matrix Market Exchange Formats, NISTIR 5935, 1996.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.ir import Workload
from simsparse.load.document import shown_path
from simsparse.load.files.single_matrix import (
    MAX_FILE_BYTES,
    SparseMatrix,
    check_size,
    matrix_workload,
    parse_numbers,
)
from simsparse.load.files.text_file import is_count, read_text
from simsparse.load.quoting import shown

_LAYOUTS = ("coordinate", "array")
_FIELDS = ("real", "double", "integer", "pattern")
_MIRRORED = {"general": 0, "symmetric": 1, "skew-symmetric": -1}
_HEADER_BYTES = 2**20  # comments and the size line
_DAMAGED = "the file is damaged: fetch it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Banner:
    layout: str
    has_values: bool
    mirror: int
    """0, or the sign with which entries below the diagonal stand above it, too."""


def load_mtx(path: str | Path, *, columns: int | None = None) -> Workload:
    """The matrix of a ``.mtx`` file as a linear layer that meets ``columns`` columns.

    Raises
    ------
    FileError
        If the file cannot be read, contradicts itself, or holds complex numbers.
    """
    path = Path(path)
    text = read_text(path, most_bytes=MAX_FILE_BYTES, what="a MatrixMarket matrix")
    return matrix_workload(parse_mtx(text, shown_path(path)), path, "MatrixMarket", columns)


def parse_mtx(text: str, where: str) -> SparseMatrix:
    """The matrix that a MatrixMarket text describes.

    Raises
    ------
    FileError
        If its parts contradict each other.
    """
    first, _, rest = text.partition("\n")
    banner = _banner(first, where)
    sizes, rest = _size_line(rest, where)
    if len(sizes) != (3 if banner.layout == "coordinate" else 2):
        expected = "rows columns entries" if banner.layout == "coordinate" else "rows columns"
        raise FileError([f"{where}: expected the sizes {expected}, got {len(sizes)} numbers ({_DAMAGED})"])
    rows, columns = sizes[:2]
    check_size(rows, columns, sizes[2] if len(sizes) > 2 else 0, where)
    if banner.mirror and rows != columns:
        raise FileError(
            [f"{where}: expected a square matrix with symmetry, got {rows} x {columns} ({_DAMAGED})"]
        )
    numbers = parse_numbers(rest, np.float64, where, "numbers")
    if not np.isfinite(numbers).all():
        raise FileError([f"{where}: expected finite numbers, got others ({_DAMAGED})"])
    if banner.layout == "coordinate":
        row, column, stored = _entries(numbers, (rows, columns), sizes[2], banner, where)
    else:
        row, column, stored = _array(numbers, (rows, columns), banner, where)
    if banner.mirror:
        row, column, stored = _mirrored(row, column, stored, banner.mirror)
    return SparseMatrix(shape=(rows, columns), positions=row * columns + column, stored=stored)


def _banner(line: str, where: str) -> _Banner:
    words = line.lower().split()
    expected = "%%MatrixMarket matrix coordinate|array real|integer|pattern general|symmetric|skew-symmetric"
    known = (
        len(words) == 5
        and words[:2] == ["%%matrixmarket", "matrix"]
        and words[2] in _LAYOUTS
        and words[3] in _FIELDS
        and words[4] in _MIRRORED
        and (words[2], words[3]) != ("array", "pattern")
    )
    if not known:
        raise FileError(
            [f"{where}:1: expected {expected}, got {shown(line.strip())} (save it as one of these)"]
        )
    return _Banner(layout=words[2], has_values=words[3] != "pattern", mirror=_MIRRORED[words[4]])


def _size_line(rest: str, where: str) -> tuple[list[int], str]:
    start = 0
    while start < min(len(rest), _HEADER_BYTES):
        end = rest.find("\n", start)
        end = len(rest) if end < 0 else end
        line = rest[start : min(end, start + _HEADER_BYTES)].strip()
        start = end + 1
        if line and not line.startswith("%"):
            words = line.split()
            if len(words) > 3 or not all(is_count(word) for word in words):
                raise FileError([f"{where}: expected a line of sizes, got {shown(line)} ({_DAMAGED})"])
            return [int(word) for word in words], rest[start:]
    raise FileError([f"{where}: expected a line of sizes, got none ({_DAMAGED})"])


Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any] | None]


def _entries(
    numbers: NDArray[Any], shape: tuple[int, int], entries: int, banner: _Banner, where: str
) -> Entries:
    width = 3 if banner.has_values else 2
    if numbers.size != entries * width:
        expected = f"{entries:,} entries of {width} numbers"
        raise FileError([f"{where}: expected {expected}, got {numbers.size:,} numbers ({_DAMAGED})"])
    table = numbers.reshape(entries, width)
    places = table[:, :2]
    # compared as floats: a cast of a large one is not defined
    if (places < 1).any() or (places > shape).any() or (places % 1 != 0).any():
        raise FileError(
            [f"{where}: expected positions from 1 1 to {shape[0]} {shape[1]}, got others ({_DAMAGED})"]
        )
    row, column = (places.astype(np.int64) - 1).T
    return row, column, table[:, 2] if banner.has_values else None


def _array(numbers: NDArray[Any], shape: tuple[int, int], banner: _Banner, where: str) -> Entries:
    rows, columns = shape
    column, row = np.divmod(np.arange(rows * columns, dtype=np.int64), rows)
    if banner.mirror:
        below = row > column if banner.mirror < 0 else row >= column
        row, column = row[below], column[below]
    if numbers.size != row.size:
        raise FileError([f"{where}: expected {row.size:,} numbers, got {numbers.size:,} ({_DAMAGED})"])
    return row, column, numbers


def _mirrored(
    row: NDArray[np.int64], column: NDArray[np.int64], stored: NDArray[Any] | None, sign: int
) -> Entries:
    off = row != column
    both = np.concatenate([row, column[off]]), np.concatenate([column, row[off]])
    return *both, None if stored is None else np.concatenate([stored, sign * stored[off]])
