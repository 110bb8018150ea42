"""Convolutions, and their results in float64 from an im2col matrix made by the definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import ConvShape


def conv_shape(
    channels: int,
    size: tuple[int, int],
    taps: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    batch: int = 1,
) -> ConvShape | None:
    """The geometry with its output size; None where the window is larger than the padded image."""
    rooms = [size[a] + padding[a] + padding[a + 2] - dilation[a] * (taps[a] - 1) - 1 for a in (0, 1)]
    if min(rooms) < 0:
        return None
    return ConvShape(
        batch=batch,
        in_channels=channels,
        in_height=size[0],
        in_width=size[1],
        kernel_height=taps[0],
        kernel_width=taps[1],
        out_height=rooms[0] // stride[0] + 1,
        out_width=rooms[1] // stride[1] + 1,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def im2col(x: NDArray[np.float32], conv: ConvShape) -> NDArray[np.float64]:
    """(batch, channels · taps, positions) of images (batch, channels, height, width)."""
    top, left, bottom, right = conv.padding
    wide = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    (down, step), (dr, ds) = conv.stride, conv.dilation
    pieces = [
        wide[:, :, r * dr : r * dr + (conv.out_height - 1) * down + 1 : down][
            ..., s * ds : s * ds + (conv.out_width - 1) * step + 1 : step
        ]
        for r in range(conv.kernel_height)
        for s in range(conv.kernel_width)
    ]
    shape = (x.shape[0], x.shape[1] * len(pieces), conv.out_height * conv.out_width)
    return np.stack(pieces, axis=2).reshape(shape)


def convolved(
    w: NDArray[np.float32], mask: NDArray[np.bool_], x: NDArray[np.float32], conv: ConvShape, groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The convolution by kept weights only, and how far float32 sums in any order may be off.

    The bound is (terms + 1) · 2**-23 · sum |w x|.
    """
    columns = im2col(x, conv)
    batch, _, positions = columns.shape
    m, k = w.shape
    y, off = np.zeros((batch, m, positions)), np.zeros((batch, m, positions))
    for row, kept in enumerate(mask):
        own = columns[:, row // (m // groups) * k :][:, :k][:, kept]
        weights = w[row, kept].astype(np.float64)
        with np.errstate(invalid="ignore"):
            y[:, row] = np.einsum("k,bkn->bn", weights, own)
            off[:, row] = (kept.sum() + 1) * 2.0**-23 * np.einsum("k,bkn->bn", np.abs(weights), np.abs(own))
    shape = (batch, m, conv.out_height, conv.out_width)
    return y.reshape(shape), off.reshape(shape) + 1e-37
