"""Depthwise 3x3 convolutions of all but small planes: their borders as masks, a row of zeros per thread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_stream import LEAD, ROWS, stream_share
from simsparse.kernels.simd import LANES, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address, aligned
from simsparse.packed.conv_planes import Planes
from simsparse.packed.host import host_caches

_LINE, _LEAD = LINE_BYTES // 4, LEAD // 4
_TAPS = 9
_FILLED = {"avx512": 0.85, "avx2": 0.9, "plain": 0.9}
"""Least share of the lanes of a row's vectors that hold outputs, at stride 2."""


def has_nine(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether every row stores all taps of a 3x3 window, at a stride that has kernels of its own."""
    return (
        (conv.kernel_height, conv.kernel_width) == (3, 3)
        and conv.dilation == (1, 1)
        and conv.stride in ((1, 1), (2, 2))
        and weights.columns.size == _TAPS * weights.shape[0]
    )


def pays_stream(conv: ConvShape) -> bool:
    """Whether planes are not small, and one column at most lies beyond each side; for 3x3 windows.

    At stride 2 rows must fill their vectors: turning pixels (``conv_channels``) costs less than idle lanes.
    """
    lanes, stride = LANES[chosen_isa()], conv.stride[1]
    seen = (conv.out_width - 1) * stride + 3 - conv.padding[1]
    filled = conv.out_width / (-(-conv.out_width // lanes) * lanes)
    return (
        conv.padding[1] <= 1
        and seen <= conv.in_width + 1
        and conv.out_height >= ROWS[conv.stride[0] - 1]
        and 4 * conv.in_height * conv.in_width >= host_caches().l1_bytes // 16
        and (stride == 1 or (conv.out_width > lanes and filled >= _FILLED[chosen_isa()]))
    )


def pack_stream(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of nine taps, one or more per channel, where ``pays_stream``."""
    stride, (top, left, _, _) = conv.stride[0], conv.padding
    lanes, deep = LANES[chosen_isa()], ROWS[stride - 1]
    # loads come in whole vectors
    last = max(conv.out_width - lanes, 0) * stride - left + lanes * stride + 2
    over = max(last - conv.in_width, 0)
    zeros = _lines(conv.in_width + over) + _LEAD
    copied = _lines(((deep - 1) * stride + 3) * conv.in_width + over)
    values, edges = np.ascontiguousarray(weights.values, np.float32), _edges(conv, lanes)
    geometry = (
        *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, stride, top, left),
        *(weights.shape[0] // conv.in_channels, over, 4 * zeros, 4 * (zeros + copied)),
    )
    return Planes(
        threads=threads,
        kernel=stream_share,
        threaded="stream_shares",
        widths=(width(),),
        of_image=conv.in_channels,
        constants=(address(values), address(edges), geometry),
        tile_floats=_LEAD + zeros + copied + _lines(deep * conv.out_width + lanes),
        kept=(values, edges),
    )


def _lines(floats: int) -> int:
    """Floats of the cache lines that so many take."""
    return -(-floats // _LINE) * _LINE


def _edges(conv: ConvShape, lanes: int) -> NDArray[np.int32]:
    """Masks of the lanes that see no border left, of all, and of those that see none right, one per row.

    Lanes are in the order in which the kernel holds them.
    """
    stride, left = conv.stride[1], conv.padding[1]
    order = np.arange(lanes)
    if stride == 2:
        pairs = order.reshape(2, -1, 2)
        order = pairs.transpose(1, 0, 2).reshape(-1)
    first = order * stride - left >= 0
    column = max(conv.out_width - lanes, 0)
    last = (column + order) * stride - left + 2 < conv.in_width
    edges = aligned(3 * lanes, np.int32)
    edges[:] = -np.concatenate((first, np.ones(lanes, np.bool_), last)).astype(np.int32)
    return edges
