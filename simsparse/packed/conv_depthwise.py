"""Depthwise convolutions: taps per channel, and the padded strip that the kernel copies channels to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_depthwise import ROWS, depthwise_share
from simsparse.kernels.simd import LANES, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address
from simsparse.packed.conv_planes import Planes
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels

LINE = LINE_BYTES // 4
_VECTORS = 3
"""Most vectors of a panel: times four rows they and their inputs fill sixteen registers."""


def pack_depthwise(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of kernel height · kernel width taps, one or more per channel."""
    strip = strip_of(conv, host_caches().l1_bytes // 2, multiplier=weights.shape[0] // conv.in_channels)
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """A padded strip of a plane as the kernel lays it out: its geometry, its floats, bytes of each tap."""

    geometry: tuple[int, ...]
    floats: int
    taps: NDArray[np.int32]


def strip_of(conv: ConvShape, room_bytes: int, *, multiplier: int = 1, least: int = ROWS) -> Strip:
    """As many output rows as fit in that room, and at least ``least``."""
    down, step = conv.stride
    top, left, _, _ = conv.padding
    lanes = LANES[chosen_isa()]
    reach = (conv.kernel_width - 1) * conv.dilation[1]
    outputs = -(-conv.out_width // lanes) * lanes
    lead = -(left // step) % lanes * step  # so that the first input starts a vector
    pitch = max(outputs + (lead + reach) // step, -(-(conv.in_width + lead + left) // step)) + 1
    pitch = -(-pitch // LINE) * LINE
    deep = (conv.kernel_height - 1) * conv.dilation[0] + 1
    strip = _strip_rows(conv, room_bytes // (4 * pitch * step), deep, least)
    slots = (-(-strip // least) * least - 1) * down + deep  # rows that fill up the last four are only read
    phase = -(-(slots * pitch + 4 * lanes) // LINE) * LINE
    place, remainder = np.divmod(lead + np.arange(conv.kernel_width) * conv.dilation[1], step)
    rows = np.arange(conv.kernel_height)[:, None] * conv.dilation[0] * pitch
    return Strip(
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, down, step, top, lead + left),
            *(strip, pitch, phase, multiplier, deep),
        ),
        floats=-(-step * phase // LINE) * LINE + LINE,
        taps=(4 * (rows + remainder * phase + place)).astype(np.int32).reshape(-1),
    )


def _strip_rows(conv: ConvShape, fitting: int, deep: int, least: int) -> int:
    """Output rows whose inputs are the fitting ones; all where that is not many more."""
    most = max((fitting - deep) // conv.stride[0] + 1, least)
    strips = -(-conv.out_height // most)
    even = -(-conv.out_height // strips)
    return -(-even // least) * least if strips > 1 else conv.out_height
