"""From encoded weights to ``packed @ x``: choose a kernel, pack for it once, multiply many times.

>>> import numpy as np
>>> from simsparse.formats import encode
>>> weights = np.array([[0, 2, 0], [1, 0, 0]], np.float32)
>>> packed = prepare(encode(weights, "csr"), n_columns=2, activation="relu")
>>> (packed @ np.array([[3, -3], [4, -4], [5, -5]], np.float32)).tolist()
[[8.0, 0.0], [3.0, 0.0]]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import FormatError, ShapeError, UsageError
from simsparse.formats.base import Encoded
from simsparse.formats.product import accumulator
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION, RELU, RELU6
from simsparse.packed.arrays import can_write
from simsparse.packed.choose import KERNELS, KernelInfo, choose, kernels
from simsparse.packed.plain import Portable
from simsparse.packed.request import Floats, Ready, Request

__all__ = ["KernelInfo", "Packed", "kernels", "prepare"]

Activation = Literal["relu", "relu6", "gelu"]
ACTIVATIONS = {None: NO_ACTIVATION, "relu": RELU, "relu6": RELU6, "gelu": GELU}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Weights (m, k) ready to multiply: ``activation(W @ x + bias + residual)``.

    ``kernel`` is the one that runs, and ``notes`` say where that is not what was asked. ``packed_from`` names
    a format that has no compute form of its own and was converted; None otherwise. ``packing_s`` is the time
    that reading the encoding and arranging it for the kernel took. Results do not depend on ``threads``, but
    for dense weights, which BLAS multiplies on one. Calls from several Python threads at once are safe.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    n_columns: int
    threads: int
    kernel: str
    packed_from: str | None
    packing_s: float
    notes: tuple[str, ...]
    bias: Floats | None
    activation: Activation | None
    ready: Ready

    @property
    def stored_bytes(self) -> int:
        """Bytes of the packed weights."""
        return self.ready.stored_bytes

    def __matmul__(self, x: ArrayLike) -> NDArray[Any]:
        return self.multiply(x)

    def multiply(
        self, x: ArrayLike, out: NDArray[Any] | None = None, residual: ArrayLike | None = None
    ) -> NDArray[Any]:
        """``activation(W @ x + bias + residual)`` for x (k, n) or (k,), of any n; sums are kept in float32.

        NaN and Inf in x reach exactly the rows that store a weight in their column. float64 and integer
        weights keep to ``simsparse.formats.multiply``'s dtypes.

        Raises
        ------
        ShapeError
            If x, ``out`` or ``residual`` have another shape than (k, n), (m, n), (m, n).
        FormatError
            If one of them has another dtype than float32 (for x also float16 and bfloat16).
        """
        operand = self._operand(x)
        single = operand.ndim == 1
        columns = operand[:, None] if single else operand
        shape = (self.shape[0], columns.shape[1])
        dtype = self._result_dtype(operand.dtype)
        beside = None if residual is None else _matrix(residual, "residual", shape, dtype, single)
        target = np.empty(shape, dtype) if out is None else _matrix(out, "out", shape, dtype, single)
        y = target
        if out is not None and (
            y.strides[1] != y.itemsize or not can_write(y, columns, beside, adds_in_place=self.adds_in_place)
        ):
            y = np.empty(shape, dtype)
        if shape[1]:
            operands = (_by_rows(columns), y, self.bias, _by_rows(beside))
            call = self.ready.bind(*operands, ACTIVATIONS[self.activation])
            with np.errstate(all="ignore"):  # NaN and Inf are answers; some BLAS would also warn of them
                call()
        if y is not target:
            target[...] = y
        if out is not None:
            return out
        return y[:, 0] if single else y

    def bind(self, x: Floats, out: Floats, residual: Floats | None = None) -> Callable[[], None]:
        """``multiply`` with these very arrays, checked once; one call of it at a time.

        Raises
        ------
        ShapeError, FormatError
            As ``multiply`` does.
        """
        operand = self._operand(x)
        single = operand.ndim == 1
        columns = operand[:, None] if single else operand
        shape = (self.shape[0], columns.shape[1])
        dtype = self._result_dtype(operand.dtype)
        beside = None if residual is None else _matrix(residual, "residual", shape, dtype, single)
        y = _matrix(out, "out", shape, dtype, single)
        in_place = operand is x and all(_by_rows(array) is array for array in (columns, y, beside))
        if (
            not in_place
            or not shape[1]
            or not can_write(y, columns, beside, adds_in_place=self.adds_in_place)
        ):

            def multiply() -> None:
                self.multiply(x, out, residual)

            return multiply
        return self.ready.bind(columns, y, self.bias, beside, ACTIVATIONS[self.activation])

    @property
    def adds_in_place(self) -> bool:
        """Whether a product writes over its residual as it adds it, without memory besides."""
        from simsparse.packed.tiled import Tiled

        return isinstance(self.ready, Tiled)

    def _operand(self, x: ArrayLike) -> NDArray[Any]:
        operand = np.asarray(x)
        k = self.shape[1]
        if operand.ndim not in (1, 2) or operand.shape[0] != k:
            raise ShapeError(f"multiply: expected x of shape ({k}, n) or ({k},), got {operand.shape}")
        if self.kernel == "portable":
            return operand
        if operand.dtype == np.float32:
            return operand
        if operand.dtype.itemsize <= 2 and operand.dtype.kind not in "iub":
            return operand.astype(np.float32)
        raise FormatError(
            f"multiply: expected x of float32, got {operand.dtype} (convert it with x.astype(np.float32))"
        )

    def _result_dtype(self, x: np.dtype[Any]) -> np.dtype[Any]:
        return accumulator(self.dtype, x) if self.kernel == "portable" else np.dtype(np.float32)


def prepare(
    encoded: Encoded,
    n_columns: int,
    *,
    threads: int = 1,
    kernel: str | None = None,
    bias: ArrayLike | None = None,
    activation: Activation | None = None,
) -> Packed:
    """Pack encoded weights (m, k) for products with x of about ``n_columns`` columns on ``threads`` threads.

    ``kernel`` is one of ``kernels()``; without it shape, density and caches decide (see ``packed.choose``).
    ``bias`` (m,) and ``activation`` are applied to each result in the kernel.

    Raises
    ------
    UsageError
        If ``n_columns``, ``threads`` or ``activation`` are out of range.
    UnknownNameError
        If no kernel has that name.
    ShapeError
        If ``bias`` does not have m elements.
    FormatError
        If the encoding is damaged.
    """
    if n_columns < 1 or threads < 1:
        raise UsageError(
            f"prepare: expected n_columns >= 1 and threads >= 1, got n_columns={n_columns}, threads={threads}"
        )
    check_activation(activation, "prepare")
    started = time.perf_counter()
    used, notes = threads_here(threads)
    request = Request(encoded=encoded, n=n_columns, threads=used)
    name, ready, told = pack_product(request, kernel)
    known = next(info.formats for info in KERNELS if info.name == name)
    source = encoded.format.name
    return Packed(
        shape=encoded.shape,
        dtype=encoded.dtype,
        n_columns=n_columns,
        threads=used,
        kernel=name,
        packed_from=None if source in known else source,
        packing_s=time.perf_counter() - started,
        notes=notes + told,
        bias=bias_vector(bias, encoded.shape[0]),
        activation=activation,
        ready=ready,
    )


def check_activation(activation: Any, door: str) -> None:
    """Whether a kernel can apply it; ``door`` is the function that was asked."""
    if activation not in ACTIVATIONS:
        known = ", ".join(f'"{name}"' for name in ACTIVATIONS if name)
        raise UsageError(f'{door}: expected activation {known} or None, got "{activation}"')


def threads_here(asked: int) -> tuple[int, tuple[str, ...]]:
    """The threads to use, and a note where they are fewer than asked."""
    if asked == 1:
        return 1, ()
    from simsparse.kernels.spmm_threads import threads_at_most

    here = threads_at_most()
    return (asked, ()) if asked <= here else (here, (f"{asked} threads asked, {here} here",))


def pack_product(request: Request, wanted: str | None) -> tuple[str, Ready, tuple[str, ...]]:
    """The kernel that runs in the end, its packed weights and notes."""
    chosen, why = choose(request, wanted)
    name, ready, told = _pack(request, chosen)
    return name, ready, why + told


def _pack(request: Request, kernel: str) -> tuple[str, Ready, tuple[str, ...]]:
    if kernel == "portable":
        return kernel, Portable(rows=request.rows), ()
    if kernel == "dense":
        from simsparse.packed.dense import pack_dense

        return kernel, pack_dense(request), ()
    if kernel.startswith("gemv-"):
        from simsparse.packed.vectors import pack_vectors

        vectors, notes = pack_vectors(request, kernel.removeprefix("gemv-"))
        return f"gemv-{vectors.packed.kernel}", vectors, notes
    return kernel, _tiled(request, kernel), ()


def _tiled(request: Request, form: str) -> Ready:
    from simsparse.packed.tiled import blocking_of
    from simsparse.packed.tiled_pack import pack_tiled

    blocking = blocking_of(
        form,
        k=request.encoded.shape[1],
        n=request.n,
        density=request.density,
        threads=request.threads,
        uses=request.density * request.encoded.shape[0],
    )
    return pack_tiled(form, request.rows, request.values, blocking, request.threads)


def bias_vector(bias: ArrayLike | None, m: int) -> Floats | None:
    """One float32 per row of the result."""
    if bias is None:
        return None
    values = np.ascontiguousarray(bias, np.float32)
    if values.shape != (m,):
        raise ShapeError(f"prepare: expected bias of shape ({m},), got {values.shape}")
    return values


def _matrix(
    array: Any, name: str, shape: tuple[int, int], dtype: np.dtype[Any], single: bool
) -> NDArray[Any]:
    """``array`` as a matrix of ``shape``; a vector where x is one."""
    given = np.asarray(array)
    expected: tuple[int, ...] = shape[:1] if single else shape
    if given.shape != expected:
        raise ShapeError(f"multiply: expected {name} of shape {expected}, got {given.shape}")
    if given.dtype != dtype:
        raise FormatError(f"multiply: expected {name} of {dtype}, got {given.dtype}")
    return given[:, None] if single else given


def _by_rows(array: Any) -> Any:
    """The array itself where its rows are contiguous, else a copy."""
    if array is None or array.strides[1] == array.itemsize or array.shape[1] == 1:
        return array
    return np.ascontiguousarray(array)
