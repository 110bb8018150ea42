"""Whole products in few calls: panels of columns of one width, one chunk of rows, all blocks of K.

X is a batch of matrices (k, n), or of images (channels, pixels) that a window turns into such matrices tile
by tile. Panels are numbered through all of the batch, ``panels`` to each, from column ``offset`` of Y on.

Where everything is stands in a record of integers: Numba takes 200 ns to look at an array, for each of five.

Every sum is made in the same order whatever the chunks and panels that threads take, so results do not depend
on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_tile import fill_window
from simsparse.kernels.simd_ops import compile_apart, floats
from simsparse.kernels.simd_scalar import peek_i64
from simsparse.kernels.spmm_csr import csr_block
from simsparse.kernels.spmm_grouped import grouped_block
from simsparse.kernels.spmm_pairs import pairs_block
from simsparse.kernels.spmm_tile import fill_tile

RECORD = (
    *("k", "k_block", "spans", "rows", "counts", "columns", "values", "window"),
    *("x", "x_item", "x_row", "n", "y", "y_item", "y_row"),
    *("bias", "residual", "residual_item", "residual_row", "activation"),
)
"""The int64 fields of a product's record: addresses, 0 for what is absent, and bytes between items and rows.

``window`` is the address of a record of ``conv_tile``, or 0; ``counts`` are ends or lengths, by form.
"""

_SPAN_BYTES = {"csr": 8, "pairs": 32, "grouped": 40}
_BLOCKS = {"csr": csr_block, "pairs": pairs_block, "grouped": grouped_block}


def span_at(form: Any, spans: int, number: int) -> int:
    """Where a form keeps what belongs to one chunk of rows and block of K; kernels only."""
    raise NotImplementedError


@overload(span_at, strict=False, jit_options={"forceinline": True})
def _span_at(form: Any, spans: Any, number: Any) -> Callable[..., Any]:  # noqa: ARG001
    size = _SPAN_BYTES[form.form]
    return lambda form, spans, number: spans + size * number  # noqa: ARG005


def add_block(form: Any, arguments: Any) -> None:
    """One block of K by the loop of a form; kernels only."""
    raise NotImplementedError


@overload(add_block, strict=False, jit_options={"forceinline": True})
def _add_block(form: Any, arguments: Any) -> Callable[..., Any]:  # noqa: ARG001
    block = _BLOCKS[form.form]

    def run(form: Any, arguments: Any) -> None:  # noqa: ARG001
        block(*arguments)

    return run


@kernel
def share(
    form: Any,
    w: Any,
    low: int,
    high: int,
    panels: int,
    offset: int,
    chunk: int,
    tile: int,
    record: int,
) -> None:
    """Panels ``low``..``high`` over weights of a form; ``tile`` and ``record`` (``RECORD``) are addresses."""
    compile_apart()
    k, k_block, spans = peek_i64(record), peek_i64(record + 8), peek_i64(record + 16)
    rows, counts = peek_i64(record + 24), peek_i64(record + 32)
    columns, values, window = peek_i64(record + 40), peek_i64(record + 48), peek_i64(record + 56)
    x, x_item, x_row = peek_i64(record + 64), peek_i64(record + 72), peek_i64(record + 80)
    n, y = peek_i64(record + 88), peek_i64(record + 96)
    y_item, stride = peek_i64(record + 104), peek_i64(record + 112)
    bias, residual = peek_i64(record + 120), peek_i64(record + 128)
    residual_item, residual_row = peek_i64(record + 136), peek_i64(record + 144)
    activation = peek_i64(record + 152)
    blocks = (k + k_block - 1) // k_block
    for panel in range(low, high):
        item = panel // panels
        start = offset + (panel - item * panels) * floats(w)
        valid = min(n - start, floats(w))
        source, target = x + item * x_item, y + item * y_item + 4 * start
        beside = residual + item * residual_item + 4 * start if residual != 0 else 0
        epilogue = (bias, 0, 0, activation)
        for block in range(blocks):
            done = block * k_block
            deep = min(k_block, k - done)
            if window == 0:
                fill_tile(w, source + done * x_row + 4 * start, x_row, tile, deep, valid)
            else:
                fill_window(w, window, source, x_row, start, done, deep, tile)
            first, last = block == 0, block == blocks - 1
            span = span_at(form, spans, chunk * blocks + block)
            packed = (rows, counts, columns, values)
            # the residual is where the sums begin, so that Y may lie where it lies
            origin, origin_stride = (beside, residual_row) if first else (target, stride)
            begin = (origin, origin_stride, span)
            add_block(form, (w, first, last, *begin, *packed, tile, target, stride, valid, epilogue))
