"""Padded strips of planes that fit in L1, and which dense convolutions are summed up from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import ConvShape
from simsparse.kernels.simd import LANES, chosen_isa
from simsparse.packed.arrays import LINE_BYTES
from simsparse.packed.host import Caches, host_caches

_LINE = LINE_BYTES // 4
_MOST_LANES = 1.15
"""Lanes of the vectors of an output row for each output."""


def fits_strip(conv: ConvShape, *, isa: str | None = None, caches: Caches | None = None) -> bool:
    """Whether the inputs of one output row fit in three quarters of L1."""
    strip = strip_of(conv, 0, least=1, isa=isa)
    return 4 * conv.in_channels * strip.floats <= (caches or host_caches()).l1_bytes * 3 // 4


def pays_direct(conv: ConvShape, *, isa: str | None = None, caches: Caches | None = None) -> bool:
    """Whether rows of outputs fill vectors, two or more, and their inputs fit.

    Tiles over whole planes waste no lanes, but gather X.
    """
    lanes = LANES[isa or chosen_isa()]
    vectors = -(-conv.out_width // lanes)
    full = vectors > 1 and vectors * lanes <= _MOST_LANES * conv.out_width
    return full and fits_strip(conv, isa=isa, caches=caches)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """A padded strip of a plane as the kernel lays it out: its geometry, its floats, bytes of each tap."""

    geometry: tuple[int, ...]
    floats: int
    taps: NDArray[np.int32]


def strip_of(
    conv: ConvShape, room_bytes: int, *, least: int, multiplier: int = 1, isa: str | None = None
) -> Strip:
    """As many output rows as fit in that room, and at least ``least``."""
    down, step = conv.stride
    top, left, _, _ = conv.padding
    lanes = LANES[isa or chosen_isa()]
    reach = (conv.kernel_width - 1) * conv.dilation[1]
    outputs = -(-conv.out_width // lanes) * lanes
    lead = -(left // step) % lanes * step  # so that the first input starts a vector
    pitch = max(outputs + (lead + reach) // step, -(-(conv.in_width + lead + left) // step)) + 1
    pitch = -(-pitch // _LINE) * _LINE
    deep = (conv.kernel_height - 1) * conv.dilation[0] + 1
    strip = _strip_rows(conv, room_bytes // (4 * pitch * step), deep, least)
    slots = (-(-strip // least) * least - 1) * down + deep  # rows that fill up the last four are only read
    phase = -(-(slots * pitch + 4 * lanes) // _LINE) * _LINE
    place, remainder = np.divmod(lead + np.arange(conv.kernel_width) * conv.dilation[1], step)
    rows = np.arange(conv.kernel_height)[:, None] * conv.dilation[0] * pitch
    return Strip(
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, down, step, top, lead + left),
            *(strip, pitch, phase, multiplier, deep),
        ),
        floats=-(-step * phase // _LINE) * _LINE + _LINE,
        taps=(4 * (rows + remainder * phase + place)).astype(np.int32).reshape(-1),
    )


def _strip_rows(conv: ConvShape, fitting: int, deep: int, least: int) -> int:
    """Output rows whose inputs are the fitting ones; all where that is not many more."""
    most = max((fitting - deep) // conv.stride[0] + 1, least)
    strips = -(-conv.out_height // most)
    even = -(-conv.out_height // strips)
    return -(-even // least) * least if strips > 1 else conv.out_height
