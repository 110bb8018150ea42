"""Dense convolutions with few input channels: the strip of the image that fits in L1, rows of W by fours."""

from __future__ import annotations

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_direct import GROUP, direct_share
from simsparse.kernels.simd import chosen_isa, width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_planes import Planes
from simsparse.packed.conv_strip import fits_strip, strip_of
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels
from simsparse.packed.tiled import VECTORS


def can_direct(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether no weight was removed, and the inputs of one output row fit in three quarters of L1."""
    m, k = weights.shape
    whole = m > 0 and weights.columns.size == m * k
    return whole and k == conv.in_channels * conv.kernel_height * conv.kernel_width and fits_strip(conv)


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
