"""The epilogue alone, over a product that another library made: one pass over Y."""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_ops import floats
from simsparse.kernels.spmm_tile import Epilogue, finish_row, read_row, write_row


@kernel
def finish_matrix(w: Any, y: int, stride: int, m: int, n: int, epilogue: Epilogue) -> None:
    """``y = activation(y + bias + residual)`` in place, rows of ``stride`` bytes; ``w`` of one vector."""
    bias, residual, residual_stride, activation = epilogue
    for row in range(m):
        for start in range(0, n, floats(w)):
            valid = min(n - start, floats(w))
            beside = residual + 4 * start if residual != 0 else 0
            place = y + row * stride + 4 * start
            value = read_row(w, place, valid)
            value = finish_row(w, value, row, valid, (bias, beside, residual_stride, activation))
            write_row(w, place, value, valid)
