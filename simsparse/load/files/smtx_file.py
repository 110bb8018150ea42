"""DLMC's ``.smtx``: the positions of a pruned weight matrix, without values.

Three lines: rows, columns and entries with commas; where each row starts; the column of each entry.

Source: Gale et al., Sparse GPU Kernels for Deep Learning, SC 2020; README of the Deep Learning Matrix
Collection.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

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

_DAMAGED = "the file is damaged: fetch it again"


def load_smtx(path: str | Path, *, columns: int | None = None) -> Workload:
    """The matrix of a ``.smtx`` file as a linear layer that meets ``columns`` columns.

    Raises
    ------
    FileError
        If the file cannot be read or contradicts itself.
    """
    path = Path(path)
    text = read_text(path, most_bytes=MAX_FILE_BYTES, what="a .smtx matrix")
    return matrix_workload(parse_smtx(text, shown_path(path)), path, "DLMC", columns)


def parse_smtx(text: str, where: str) -> SparseMatrix:
    """The matrix that the three lines of ``text`` describe.

    Raises
    ------
    FileError
        If they contradict each other.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    words = lines[0].replace(",", " ").split() if lines else []
    if len(words) != 3 or not all(is_count(word) for word in words):
        got = shown(lines[0] if lines else "")
        raise FileError([f"{where}:1: expected rows, columns, entries, got {got} (is it a .smtx file?)"])
    rows, columns, entries = map(int, words)
    check_size(rows, columns, entries, f"{where}:1")
    if len(lines) > 3 or (len(lines) < 3 and entries):
        raise FileError([f"{where}: expected three lines, got {len(lines)} ({_DAMAGED})"])
    starts = parse_numbers(lines[1] if len(lines) > 1 else "", np.int64, f"{where}:2", "row offsets")
    found = parse_numbers(lines[2] if len(lines) > 2 else "", np.int64, f"{where}:3", "column indices")
    if starts.size != rows + 1 or starts[0] != 0 or starts[-1] != entries or (np.diff(starts) < 0).any():
        expected = f"{rows + 1:,} row offsets from 0 to {entries:,} that do not decrease"
        raise FileError([f"{where}:2: expected {expected}, got others ({_DAMAGED})"])
    if found.size != entries or (entries and not 0 <= found.min() <= found.max() < columns):
        expected = f"{entries:,} column indices from 0 to {columns - 1:,}"
        raise FileError([f"{where}:3: expected {expected}, got others ({_DAMAGED})"])
    row = np.repeat(np.arange(rows, dtype=np.int64), np.diff(starts))
    return SparseMatrix(shape=(rows, columns), positions=row * columns + found)
