"""Depthwise 3x3 convolutions whose rows store all nine taps: the padded planes that the kernel walks."""

from __future__ import annotations

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_rows import rows_share
from simsparse.kernels.simd import LANES, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address
from simsparse.packed.conv_planes import Planes
from simsparse.packed.conv_stream import pack_stream, pays_stream
from simsparse.packed.host import host_caches

_TAPS = 9


def has_rows(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether this form is made for the window and its taps."""
    return (
        (conv.kernel_height, conv.kernel_width) == (3, 3)
        and conv.dilation == (1, 1)
        and conv.stride in ((1, 1), (2, 2))
        and weights.columns.size == _TAPS * weights.shape[0]
    )


def pack_windows(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of nine taps, one or more per channel."""
    if pays_stream(conv):
        return pack_stream(weights, conv, threads)
    stride, (top, left, _, _) = conv.stride[0], conv.padding
    lanes = LANES[chosen_isa()]
    before = -left % lanes  # so that inputs start a vector
    # two vectors at stride 2 start 2 floats on
    seen = (max(conv.out_width, lanes) - 1) * stride + stride * 2 + 3
    span = -(-(before + max(left + max(conv.in_width, lanes), seen)) // lanes) * lanes
    strip, batch = _cut(conv, 4 * span)
    rows = (strip - 1) * stride + 3
    plane_bytes = -(-4 * rows * span // LINE_BYTES) * LINE_BYTES
    values = np.ascontiguousarray(weights.values, np.float32)
    geometry = (
        *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, stride, top, strip, batch),
        weights.shape[0] // conv.in_channels,
    )
    return Planes(
        threads=threads,
        kernel=rows_share,
        threaded="row_shares",
        widths=(width(),),
        of_image=conv.in_channels,
        constants=(address(values), geometry, (plane_bytes, 4 * span, 4 * (before + left), 4 * before)),
        tile_floats=batch * plane_bytes // 4 + LINE_BYTES // 4,
        kept=(values,),
    )


def _cut(conv: ConvShape, row_bytes: int) -> tuple[int, int]:
    """Output rows of a strip, and how many whole planes are copied at a time: half of L1."""
    room, stride = host_caches().l1_bytes // 2, conv.stride[0]
    most = max((room // row_bytes - 3) // stride + 1, 1)
    if most < conv.out_height:
        strips = -(-conv.out_height // most)
        return -(-conv.out_height // strips), 1
    plane_bytes = row_bytes * ((conv.out_height - 1) * stride + 3)
    return conv.out_height, max(room // plane_bytes, 1)
