"""Whole products in few calls: panels of columns of one width, one chunk of rows, all blocks of K.

X is a batch of matrices (k, n), or of images (channels, pixels) that a window turns into such matrices tile
by tile. Panels are numbered through all of the batch, ``panels`` to each, from column ``offset`` of Y on.

Every sum is made in the same order whatever the chunks and panels that threads take, so results do not depend
on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_tile import fill_window
from simsparse.kernels.simd_ops import compile_apart, floats
from simsparse.kernels.simd_scalar import address_of
from simsparse.kernels.spmm_csr import csr_block
from simsparse.kernels.spmm_grouped import grouped_block
from simsparse.kernels.spmm_pairs import pairs_block
from simsparse.kernels.spmm_tile import fill_tile

Weights = tuple[int, int, int, int, int, int, int]
"""k, rows of K per block, then addresses: spans, rows, ends or lengths, columns, values."""

Floats = NDArray[np.float32]

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
    weights: Weights,
    window: int,
    x: Floats,
    y: Floats,
    tile: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Panels ``low``..``high`` over weights of a form; ``bias`` or ``residual`` without elements are none.

    ``window`` is the address of a record of ``conv_tile``, or 0.
    """
    compile_apart()
    k, k_block, spans, rows, counts, columns, values = weights
    blocks, scratch, stride = (k + k_block - 1) // k_block, address_of(tile), y.strides[1]
    for panel in range(low, high):
        item = panel // panels
        start = offset + (panel - item * panels) * floats(w)
        valid = min(y.shape[2] - start, floats(w))
        source, target = address_of(x) + item * x.strides[0], address_of(y) + item * y.strides[0] + 4 * start
        shift = address_of(bias) if bias.size > 0 else 0
        beside = address_of(residual) + item * residual.strides[0] + 4 * start if residual.size > 0 else 0
        epilogue = (shift, beside, residual.strides[1], activation)
        for block in range(blocks):
            done = block * k_block
            deep = min(k_block, k - done)
            if window == 0:
                fill_tile(w, source + done * x.strides[1] + 4 * start, x.strides[1], scratch, deep, valid)
            else:
                fill_window(w, window, source, x.strides[1], start, done, deep, scratch)
            first, last = block == 0, block == blocks - 1
            span = span_at(form, spans, chunk * blocks + block)
            packed = (rows, counts, columns, values)
            add_block(form, (w, first, last, span, *packed, scratch, target, stride, valid, epilogue))
