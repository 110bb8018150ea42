"""One sparse matrix from a text file as a linear layer: W is the matrix, and the user says how wide X is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.ir import Workload, gemm_layer
from simsparse.load.files.tensor_source import Array, FileWeights, Mask
from simsparse.load.onnx_text import clean

MAX_ELEMENTS = 2**28  # the matrix becomes a dense mask; a header may declare any size
MAX_FILE_BYTES = 2**28
DEFAULT_COLUMNS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseMatrix:
    """Positions of a matrix in row-major order, and their values; without values each is one."""

    shape: tuple[int, int]
    positions: NDArray[np.int64]
    stored: NDArray[Any] | None = None

    def values(self) -> Array:
        """The dense matrix in float32; values at the same position add up."""
        dense = np.zeros(self.shape, np.float32)
        flat = dense.reshape(-1)
        if self.stored is None:
            flat[self.positions] = 1.0
        else:
            np.add.at(flat, self.positions, self.stored.astype(np.float32))
        return dense

    def nonzero(self) -> Mask:
        """True where a value is not zero."""
        if self.stored is not None:
            return np.not_equal(self.values(), 0)
        mask = np.zeros(self.shape, np.bool_)
        mask.reshape(-1)[self.positions] = True
        return mask


def matrix_workload(matrix: SparseMatrix, path: Path, kind: str, columns: int | None) -> Workload:
    """The workload of the one layer ``Y[m, columns] = matrix[m, k] · X[k, columns]``."""
    name = clean(path.name.split(".")[0] or path.name)
    layer = gemm_layer(name, *matrix.shape, columns or DEFAULT_COLUMNS)
    assumed = (f"X is taken to have {DEFAULT_COLUMNS} columns (--columns sets it)",)
    return Workload(
        name=name,
        layers=(layer,),
        source=f"{kind} file {clean(path.name)}",
        weights=FileWeights({name: matrix}, {name: matrix.shape}),
        notes=() if columns else assumed,
    )


def check_size(rows: int, columns: int, entries: int, where: str) -> None:
    """Refuses a matrix that is empty, too large for a dense mask, or holds more entries than positions.

    Raises
    ------
    FileError
        Naming ``where``.
    """
    if min(rows, columns) < 1 or rows * columns > MAX_ELEMENTS:
        expected = f"a matrix of 1 to {MAX_ELEMENTS:,} positions"
        raise FileError([f"{where}: expected {expected}, got {rows} x {columns} (split it)"])
    if not 0 <= entries <= rows * columns:
        raise FileError(
            [f"{where}: expected at most {rows * columns:,} entries, got {entries} (the header is damaged)"]
        )


def parse_numbers(text: str, dtype: type[np.generic], where: str, what: str) -> NDArray[Any]:
    """The numbers of a text, apart by white space.

    Raises
    ------
    FileError
        If something else stands among them.
    """
    if not text.strip():
        return np.zeros(0, dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns where it stops reading before the end
            return np.fromstring(text, dtype=dtype, sep=" ")
    except (ValueError, DeprecationWarning, OverflowError):
        raise FileError(
            [f"{where}: expected {what}, got something else among them (fetch it again)"]
        ) from None
