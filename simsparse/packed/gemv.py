"""Sparse weights times one vector, or up to eight: packed once, multiplied many times.

>>> import numpy as np
>>> from simsparse.formats import encode
>>> encoded = encode(np.array([[0, 2, 0], [1, 0, 0]], np.float32), "csr")
>>> pack_gemv(encoded, kernel="csr").multiply(np.array([3, 4, 5], np.float32))
array([8., 3.], dtype=float32)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import FormatError, ShapeError
from simsparse.formats.base import Encoded
from simsparse.formats.bsr import BsrFormat
from simsparse.formats.product import CompressedRows, compress_rows
from simsparse.kernels.simd import chosen_isa
from simsparse.kernels.spmm_threads import threads_at_most
from simsparse.packed.gemv_bitmask import pack_bitmask_layout
from simsparse.packed.gemv_bsr import HEIGHTS, fitting_height, pack_bsr_layout
from simsparse.packed.gemv_csr import pack_csr_layout
from simsparse.packed.gemv_layout import Floats, Layout
from simsparse.packed.gemv_nm import FORMS, fitting_form, pack_nm_layout
from simsparse.packed.gemv_quantise import WeightType, quantise_entries

GemvKernel = Literal["bitmask", "nm", "csr", "bsr"]
KERNELS: tuple[GemvKernel, ...] = ("bitmask", "nm", "csr", "bsr")

WIDEST = 8
"""Vectors that one call of a kernel multiplies; more go in turns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedGemv:
    """Weights (m, k) ready for products with few vectors.

    ``kernel`` is the one that runs; ``notes`` say why where it is not the one asked for. The result does not
    depend on ``threads``: each row is summed by one thread, always in the same order.
    """

    kernel: GemvKernel
    dtype: WeightType
    layout: Layout
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(m, k)."""
        return self.layout.shape

    @property
    def threads(self) -> int:
        """Threads a product runs on."""
        return self.layout.threads

    @property
    def stored_bytes(self) -> int:
        """Bytes that a product reads of the weights, from any level of memory."""
        return self.layout.stored_bytes

    def multiply(self, x: ArrayLike, out: Floats | None = None) -> Floats:
        """``W @ x`` in float32, for x of shape (k,) or (k, n); into ``out`` where it is given.

        NaN and Inf in x reach exactly the rows that have a weight in their column. Rounding differs from a
        sum in order of columns by at most ``nnz of the row * 2**-23 * sum |w x|``.

        Raises
        ------
        ShapeError
            If x does not have k rows, or ``out`` is no float32 array of the result's shape.
        FormatError
            If x is not real.
        """
        operand = np.asarray(x)
        m, k = self.shape
        if operand.ndim not in (1, 2) or operand.shape[0] != k:
            raise ShapeError(f"multiply: expected x of shape ({k},) or ({k}, n), got {operand.shape}")
        if operand.dtype.kind in "cOSUMm":
            raise FormatError(f"multiply: expected x of real numbers, got {operand.dtype}")
        shape = (m,) if operand.ndim == 1 else (m, operand.shape[1])
        if out is not None and (out.shape != shape or out.dtype != np.float32):
            raise ShapeError(
                f"multiply: expected out of float32 and shape {shape}, got {out.dtype} {out.shape}"
            )
        y = self._product(np.ascontiguousarray(operand.reshape(k, -1), np.float32)).reshape(shape)
        if out is None:
            return np.ascontiguousarray(y)
        np.copyto(out, y)
        return out

    def __matmul__(self, x: ArrayLike) -> Floats:
        return self.multiply(x)

    def bind(self, x: Floats, out: Floats) -> Callable[[], object]:
        """``multiply`` of these arrays (k, n) and (m, n), as often as it is called; one call at a time."""
        if x.flags.c_contiguous and 1 <= x.shape[1] <= WIDEST:
            return self.layout.bind(x.view(np.uint32), out)
        return functools.partial(self.multiply, x, out)

    def _product(self, x: Floats) -> Floats:
        bits, n = x.view(np.uint32), x.shape[1]
        if 1 <= n <= WIDEST:
            return self.layout.multiply(bits)
        y = np.empty((self.shape[0], n), np.float32)
        for first in range(0, n, WIDEST):
            part = np.ascontiguousarray(bits[:, first : first + WIDEST])
            y[:, first : first + WIDEST] = self.layout.multiply(part)
        return y


def pack_gemv(
    encoded: Encoded,
    *,
    kernel: GemvKernel,
    dtype: WeightType = "fp32",
    threads: int = 1,
    rows: CompressedRows | None = None,
) -> PackedGemv:
    """Arrange stored weights for ``kernel``, in float32, bfloat16 or int8 with one scale per row.

    Entries come from any format. "nm" needs 1:4, 2:4 or 4:8 (or less in each group) and runs as "csr"
    otherwise, with a note. "bsr" makes 16, 8 or 4 rows tall blocks, whatever the encoding's own blocks are.
    See ``quantise`` for the error of the narrow types. ``rows`` are the encoding's entries where they are
    known already.

    Raises
    ------
    FormatError
        If kernel, dtype or threads are unknown or out of range, or the weights cannot be held.
    """
    if kernel not in KERNELS:
        raise FormatError(f"pack_gemv: expected kernel {', '.join(KERNELS)}, got {kernel!r}")
    notes = []
    used, allowed = threads, threads_at_most()
    if not threads >= 1:
        raise FormatError(f"pack_gemv: expected threads >= 1, got {threads}")
    if threads > allowed:
        used = allowed
        notes.append(f"{threads} threads asked, {allowed} here")
    entries = compress_rows(encoded) if rows is None else rows
    of_row = np.repeat(np.arange(encoded.shape[0], dtype=np.int64), np.diff(entries.pointers))
    values, scales = quantise_entries(entries.values, of_row, encoded.shape[0], dtype)
    if encoded.dtype.itemsize > 4 and dtype == "fp32":
        notes.append(f"{encoded.dtype} weights rounded to float32")
    chosen, layout = _layout(
        encoded, replace(entries, values=values), scales, kernel, used, chosen_isa(), notes
    )
    return PackedGemv(kernel=chosen, dtype=dtype, layout=layout, notes=tuple(notes))


def _layout(
    encoded: Encoded,
    rows: CompressedRows,
    scales: NDArray[np.float32],
    kernel: GemvKernel,
    threads: int,
    isa: str,
    notes: list[str],
) -> tuple[GemvKernel, Layout]:
    if isa == "plain" and kernel in ("bitmask", "nm"):
        notes.append(f"{kernel}: no AVX2 here, one weight at a time on one thread (csr is faster)")
    if kernel == "bitmask":
        return kernel, pack_bitmask_layout(rows, scales, threads, isa)
    if kernel == "bsr":
        return kernel, _blocks(encoded, rows, scales, threads, notes)
    form = fitting_form(rows) if kernel == "nm" else None
    if form is not None:
        layout: Any = pack_nm_layout(rows, scales, threads, isa, form)
        _note_fill("nm", f"{form[0]}:{form[1]} slots", rows.values.size / max(1, layout.values.size), notes)
        return kernel, layout
    if kernel == "nm":
        known = ", ".join(f"{keep}:{group}" for keep, group in FORMS)
        notes.append(f"nm: the weights are none of {known}, run as csr")
    return "csr", pack_csr_layout(rows, scales, threads)


def _blocks(
    encoded: Encoded, rows: CompressedRows, scales: NDArray[np.float32], threads: int, notes: list[str]
) -> Layout:
    own = encoded.format.rows if isinstance(encoded.format, BsrFormat) else HEIGHTS[-1]
    tall = fitting_height(own)
    layout = pack_bsr_layout(rows, scales, threads, tall)
    _note_fill("bsr", f"{tall}x1 blocks", rows.values.size / max(1, layout.values.size), notes)
    return layout


def _note_fill(kernel: str, what: str, filled: float, notes: list[str]) -> None:
    if filled < 0.9:
        notes.append(f"{kernel}: {what} are {100 * filled:.0f} % full, the rest multiplies zeros")
