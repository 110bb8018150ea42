"""Dense convolutions with few input channels: the strip of the image that fits in L1, rows of W by fours."""

from __future__ import annotations

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_direct import GROUP, direct_share
from simsparse.kernels.simd import LANES, chosen_isa, width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_depthwise import strip_of
from simsparse.packed.conv_planes import Planes
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels
from simsparse.packed.tiled import VECTORS

_MOST_LANES = 1.15
"""Lanes of the vectors of an output row for each output."""


def can_direct(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether no weight was removed, and the inputs of one output row fit in three quarters of L1."""
    m, k = weights.shape
    if (
        not m
        or weights.columns.size != m * k
        or k != conv.in_channels * conv.kernel_height * conv.kernel_width
    ):
        return False
    strip = strip_of(conv, 0, least=1)
    return 4 * conv.in_channels * strip.floats <= host_caches().l1_bytes * 3 // 4


def pays_direct(conv: ConvShape) -> bool:
    """Whether rows of outputs fill vectors, two or more. Tiles over whole planes waste none, but gather X."""
    lanes = LANES[chosen_isa()]
    vectors = -(-conv.out_width // lanes)
    return vectors > 1 and vectors * lanes <= _MOST_LANES * conv.out_width


def pack_direct(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """All weights channel by channel, four rows interleaved; where each tap lies in the strip."""
    m, k = weights.shape
    strip = strip_of(conv, host_caches().l1_bytes // 2 // conv.in_channels, least=1)
    channels = np.arange(conv.in_channels, dtype=np.int32)[:, None] * np.int32(4 * strip.floats)
    groups = -(-m // GROUP)
    rows = np.minimum(np.arange(groups * GROUP), m - 1)
    full = np.asarray(weights.values, np.float32).reshape(m, k)[rows]
    values = aligned(full.size, np.float32)
    values[...] = full.reshape(groups, GROUP, k).transpose(0, 2, 1).reshape(-1)
    offsets = (channels + strip.taps).reshape(-1)
    cut = panels(conv.out_width, VECTORS["grouped"][chosen_isa()])
    taps = (offsets.size, address(offsets), address(values))
    return Planes(
        threads=threads,
        kernel=direct_share,
        threaded="direct_shares",
        widths=(cut.wide, cut.narrow, width(2)),
        of_image=-(-conv.out_height // strip.geometry[8]),
        constants=((cut.wides, cut.total - cut.wides), taps, strip.geometry, strip.floats),
        tile_floats=conv.in_channels * strip.floats,
        kept=(offsets, values),
    )
