"""Depthwise convolution where outputs see the inputs around their own place: stride 1, rows of equal length.

A tap then is a shift of the whole plane, across ends of rows too, but for the lanes that look over the
border: those are masked. Nothing is copied, and panels run over the plane as if it were one row. Masks are
few: panels with the same borders share theirs, and taps that see no border take none.

Limit. A tap costs one FMA and 1.5 loads per vector of output (half of the shifted ones straddle two cache
lines), one load more where it is masked: 7 to 11 cycles per vector of a 3x3 for 64 bytes read and written, so
6 to 9 bytes a cycle (19 to 29 GB/s at 3.2 GHz) by reckoning. Measured on planes of 56 and 112 squared:
11 GB/s, about half of that; what takes the rest has not been found out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_simd import load_where
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat, store
from simsparse.kernels.simd_ops import compile_apart, floats, fma, maximum, minimum, splat, zeros
from simsparse.kernels.simd_scalar import address_of, peek_i32, peek_i64, peek_u8
from simsparse.kernels.spmm_tile import GELU, RELU, RELU6, Epilogue, finish_row, read_row, write_row

Floats = NDArray[np.float32]


@inner
def limits_of(activation: int) -> tuple[float, float]:
    """What values are clipped to."""
    low, high = -math.inf, math.inf
    if activation in (RELU, RELU6):
        low = 0.0
    if activation == RELU6:
        high = 6.0
    return low, high


@inner
def put(w: Any, value: Any, at: int, size: int, valid: int, y: int, epilogue: Epilogue, limits: Any) -> None:
    """Finish and store a panel at float ``at`` of a plane of ``size``.

    It is stored whole where there is room: what is beyond ``valid`` is overwritten later. The bias is in the
    sums already. ``finish_row`` may make a call, which takes as long as a row.
    """
    _, residual, _, activation = epilogue
    if residual != 0 or activation == GELU:
        value = finish_row(w, value, 0, valid, (0, residual + 4 * at if residual != 0 else 0, 0, activation))
    else:
        value = minimum(maximum(value, splat(w, limits[0])), splat(w, limits[1]))
    if size - at >= floats(w):
        store(y + 4 * at, value)
    else:
        write_row(w, y + 4 * at, value, valid)


@apart
def finish_plane(w: Any, y: int, size: int, epilogue: Epilogue) -> None:
    """What is more than clipping: a call between the sums would empty all registers."""
    compile_apart()
    _, residual, _, activation = epilogue
    for at in range(0, size, floats(w)):
        valid, place = min(size - at, floats(w)), y + 4 * at
        rest = (0, residual + 4 * at if residual != 0 else 0, 0, activation)
        write_row(w, place, finish_row(w, read_row(w, place, valid), 0, valid, rest), valid)


@apart
def flat_panel(
    w: Any,
    at: int,
    size: int,
    record: int,
    shifts: int,
    taps: tuple[int, int, int],
    x: int,
    y: int,
    epilogue: Epilogue,
) -> None:
    """Outputs ``at``.. of a plane; ``record``: addresses of the panel's masks and flags (1: no mask)."""
    compile_apart()
    amount, numbers, values = taps
    masks, plain = peek_i64(record), peek_i64(record + 8)
    total = load_splat(w, epilogue[0]) if epilogue[0] != 0 else zeros(w)
    for p in range(amount):
        tap, weight = peek_i32(numbers + 4 * p), load_splat(w, values + 4 * p)
        where = x + 4 * at + peek_i64(shifts + 8 * tap)
        if peek_u8(plain + tap) != 0:
            total = fma(load(w, where), weight, total)
        else:
            total = fma(load_where(where, load(w, masks + tap * (4 * floats(w)))), weight, total)
    put(w, total, at, size, min(size - at, floats(w)), y, epilogue, limits_of(epilogue[3]))


@kernel
def flat_share(
    wide: Any,
    narrow: Any,
    low: int,
    high: int,
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    tables: tuple[int, int],
    multiplier: int,
    x: Floats,
    y: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``low``..``high`` of y (batch, rows of W, pixels).

    ``panels``: wide and narrow ones of a plane. ``taps``: addresses of where each row's taps start, of their
    numbers and of their values. ``tables``: addresses of the taps' shifts and of one record per panel.
    """
    compile_apart()
    ends, numbers, values = taps
    shifts, records = tables
    rows, size, offset = y.shape[1], y.shape[2], panels[0] * floats(wide)
    for plane in range(low, high):
        item = plane // rows
        row = plane - item * rows
        begin = peek_i64(ends + 8 * row)
        own = (peek_i64(ends + 8 * row + 8) - begin, numbers + 4 * begin, values + 4 * begin)
        source = address_of(x) + item * x.strides[0] + row // multiplier * x.strides[1]
        target = address_of(y) + item * y.strides[0] + row * y.strides[1]
        beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
        shift = address_of(bias) + 4 * row if bias.size > 0 else 0
        epilogue = (shift, beside if residual.size > 0 else 0, 0, activation)
        for panel in range(panels[0]):
            at = panel * floats(wide)
            flat_panel(wide, at, size, records + 16 * panel, shifts, own, source, target, epilogue)
        for panel in range(panels[1]):
            at, record = offset + panel * floats(narrow), records + 16 * (panels[0] + panel)
            flat_panel(narrow, at, size, record, shifts, own, source, target, epilogue)
