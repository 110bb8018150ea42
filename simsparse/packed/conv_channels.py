"""Depthwise 3x3 convolutions whose rows store all nine taps: weights by groups of channels, tiles in L1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_channels import channels_share
from simsparse.kernels.simd import LANES, chosen_isa, width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_planes import Planes
from simsparse.packed.host import host_caches

_TAPS = 9
_WIDEST = "avx2"
"""Squares of sixteen lanes take longer to turn than four of eight: 1.15 to 1.25 times the whole, on Zen 4."""
_PIXELS = (7, 4)
"""Pixels summed up together, the better first: seven leave no port idle while sums wait for each other."""


def pack_channels(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of nine taps, one per channel."""
    isa = min(chosen_isa(), _WIDEST, key=lambda name: LANES[name])
    lanes, stride = LANES[isa], conv.stride[0]
    top, left, _, _ = conv.padding
    pixels = min(_PIXELS, key=lambda some: -(-conv.out_width // some) * some)
    pitch = max((conv.out_width - 1) * stride + 3, left + conv.in_width)
    strip = _strip(conv, pitch, lanes)
    # rows are read and written some pixels beyond their ends
    tile = lanes * (((strip - 1) * stride + 3) * pitch + max(lanes, (pixels - 1) * stride))
    sums = lanes * (strip * conv.out_width + max(lanes, pixels))
    values = _by_lanes(weights, lanes)
    geometry = (
        *(conv.in_height, conv.in_width, conv.out_height, conv.out_width),
        *(stride, top, left, strip, pitch),
    )
    return Planes(
        threads=threads,
        kernel=channels_share,
        threaded="channel_shares",
        widths=(width(1, isa), width(pixels, isa), width(lanes, isa)),
        of_image=-(-conv.in_channels // lanes),
        constants=(address(values), geometry, (4 * tile, 4 * (tile + sums))),
        tile_floats=tile + sums + lanes,
        kept=(values,),
    )


def _strip(conv: ConvShape, pitch: int, lanes: int) -> int:
    """Output rows at a time, all strips about as high: what is copied and summed up fills half of L1."""
    stride, room = conv.stride[0], host_caches().l1_bytes // 2 // (4 * lanes)
    most = max((room - 3 * pitch) // (stride * pitch + conv.out_width), 1)
    strips = -(-conv.out_height // most)
    return -(-conv.out_height // strips)


def _by_lanes(weights: CompressedRows, lanes: int) -> NDArray[np.float32]:
    """(groups, taps, lanes) weights; +0 for channels that are missing in the last group."""
    channels = weights.shape[0]
    groups = -(-channels // lanes)
    values = aligned(groups * lanes * _TAPS, np.float32)
    values[:] = 0
    table = np.zeros((groups * lanes, _TAPS), np.float32)
    table[:channels] = np.asarray(weights.values, np.float32).reshape(channels, _TAPS)
    values.reshape(groups, _TAPS, lanes)[:] = table.reshape(groups, lanes, _TAPS).transpose(0, 2, 1)
    return values
