"""Nonzero inputs that the windows of a convolution meet, counted and gathered from a mask of the input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]


@kernel
def window_counts(tensor: NDArray[np.bool_], geometry: IntArray) -> IntArray:
    """(channels · kernel positions,) nonzero inputs of a (batch, channels, height, width) mask that the
    windows of a convolution meet at each kernel position. ``geometry`` holds kernel, output, stride,
    padding, dilation sizes.
    """
    kh, kw, oh, ow, sh, sw, ph, pw, dh, dw = geometry
    batch, channels, height, width = tensor.shape
    out = np.zeros(channels * kh * kw, dtype=np.int64)
    for b in range(batch):
        for c in range(channels):
            for r in range(kh):
                for s in range(kw):
                    total = 0
                    for y in range(oh):
                        i = y * sh - ph + r * dh
                        if i < 0 or i >= height:
                            continue
                        for x in range(ow):
                            j = x * sw - pw + s * dw
                            if 0 <= j < width:
                                total += tensor[b, c, i, j]
                    out[(c * kh + r) * kw + s] += total
    return out


@kernel
def window_columns(tensor: NDArray[np.bool_], geometry: IntArray) -> NDArray[np.bool_]:
    """(n, channels · kernel positions) nonzeros that each output position of a convolution meets (im2col)."""
    kh, kw, oh, ow, sh, sw, ph, pw, dh, dw = geometry
    batch, channels, height, width = tensor.shape
    out = np.zeros((batch * oh * ow, channels * kh * kw), dtype=np.bool_)
    for b in range(batch):
        for y in range(oh):
            for x in range(ow):
                row = (b * oh + y) * ow + x
                for c in range(channels):
                    for r in range(kh):
                        i = y * sh - ph + r * dh
                        if i < 0 or i >= height:
                            continue
                        for s in range(kw):
                            j = x * sw - pw + s * dw
                            if 0 <= j < width:
                                out[row, (c * kh + r) * kw + s] = tensor[b, c, i, j]
    return out


@kernel
def window_union(mask: NDArray[np.bool_], size: IntArray, geometry: IntArray) -> NDArray[np.bool_]:
    """The (batch, channels, height, width) inputs, ``size``, that any window of a convolution meets as
    nonzero in a (channels · kernel positions, n) mask; the inverse of the gathering of `window_columns`.
    """
    kh, kw, oh, ow, sh, sw, ph, pw, dh, dw = geometry
    batch, channels, height, width = size
    out = np.zeros((batch, channels, height, width), dtype=np.bool_)
    for c in range(channels):
        for r in range(kh):
            for s in range(kw):
                row = (c * kh + r) * kw + s
                for b in range(batch):
                    for y in range(oh):
                        i = y * sh - ph + r * dh
                        if i < 0 or i >= height:
                            continue
                        for x in range(ow):
                            j = x * sw - pw + s * dw
                            if 0 <= j < width:
                                out[b, c, i, j] |= mask[row, (b * oh + y) * ow + x]
    return out
