"""Depthwise convolutions whose taps are shifts of the plane: masks, once for all panels that share them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_flat import flat_share
from simsparse.kernels.simd import Width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_planes import Planes
from simsparse.packed.conv_window import tap_shifts, window_of
from simsparse.packed.panels import panels

_VECTORS = 7
"""Vectors of a panel: enough independent sums, and whole rows of the usual images."""


def pack_flat(weights: CompressedRows, conv: ConvShape, threads: int) -> Planes:
    """Rows of kernel height · kernel width taps, one or more per channel."""
    cut = panels(conv.out_height * conv.out_width, _VECTORS)
    window = window_of(conv)
    split = cut.wides * cut.wide.count
    wide, wide_kept = _panel_masks(window.masks[:, :split], cut.wide)
    narrow, narrow_kept = _panel_masks(window.masks[:, split:], cut.narrow)
    taps = (weights.pointers, weights.columns, np.ascontiguousarray(weights.values, np.float32))
    tables = (tap_shifts(conv), np.concatenate((wide, narrow)))
    return Planes(
        threads=threads,
        kernel=flat_share,
        threaded="flat_shares",
        widths=(cut.wide, cut.narrow),
        of_image=weights.shape[0],
        constants=(
            (cut.wides, cut.total - cut.wides),
            (address(taps[0]), address(taps[1]), address(taps[2])),
            (address(tables[0]), address(tables[1])),
            weights.shape[0] // conv.in_channels,
        ),
        tile_floats=0,
        kept=(*taps, *tables, *wide_kept, *narrow_kept),
    )


def _panel_masks(bits: NDArray[np.uint16], of: Width) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]:
    """Per panel the addresses of its masks (taps, floats) and flags (taps), and the arrays they are in."""
    taps = bits.shape[0]
    blocks = bits.reshape(taps, -1, of.count).transpose(1, 0, 2)
    if not blocks.size:
        return np.empty((0, 2), np.int64), ()
    distinct, which = np.unique(blocks.reshape(blocks.shape[0], -1), axis=0, return_inverse=True)
    lanes = distinct.reshape(-1, taps, of.count, 1) >> np.arange(of.lanes) & 1
    masks = aligned(lanes.size, np.int32).reshape(-1, taps * of.floats)
    masks[...] = -lanes.reshape(masks.shape).astype(np.int32)
    plain = np.asarray(lanes.reshape(-1, taps, of.floats).all(axis=2), np.uint8)
    places = np.stack((address(masks) + masks.strides[0] * which, address(plain) + taps * which), axis=1)
    return places.astype(np.int64).reshape(-1, 2), (masks, plain)
