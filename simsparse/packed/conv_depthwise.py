"""Depthwise convolutions of any window and stride: taps per channel over padded strips."""

from __future__ import annotations

import numpy as np

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_depthwise import ROWS, depthwise_share
from simsparse.kernels.simd import width
from simsparse.packed.arrays import address
from simsparse.packed.conv_planes import Planes
from simsparse.packed.conv_strip import strip_of
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels

_VECTORS = 3
"""Most vectors of a panel: times four rows they and their inputs fill sixteen registers."""


def pack_depthwise(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of kernel height · kernel width taps, one or more per channel."""
    multiplier = weights.shape[0] // conv.in_channels
    strip = strip_of(conv, host_caches().l1_bytes // 2, least=ROWS, multiplier=multiplier)
    cut = panels(conv.out_width, _VECTORS)
    kept = (weights.pointers, strip.taps[weights.columns], np.ascontiguousarray(weights.values, np.float32))
    taps = (address(kept[0]), address(kept[1]), address(kept[2]))
    return Planes(
        threads=threads,
        kernel=depthwise_share,
        threaded="depthwise_shares",
        widths=(cut.wide, cut.narrow, width(2)),
        of_image=conv.in_channels,
        constants=((cut.wides, cut.total - cut.wides), taps, strip.geometry),
        tile_floats=strip.floats,
        kept=kept,
    )
