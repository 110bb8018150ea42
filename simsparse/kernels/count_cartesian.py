"""Nonzeros by tile of the input plane and by block of output channels, for machines that form all products of
the two.

A strided convolution is split by phase: inputs whose padded position is p modulo the stride meet only the
kernel positions that are p modulo the stride.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]


@kernel
def plane_counts(tensor: NDArray[np.bool_], geometry: IntArray) -> IntArray:
    """(batch, channels, phases, PEs) nonzeros of a (batch, channels, height, width) mask in each PE's tile.

    ``geometry`` holds stride, padding, tile and grid sizes, each as (rows, columns); a tile is counted in
    strides, so that it holds inputs of all phases.
    """
    sh, sw, ph, pw, th, tw, gh, gw = geometry
    batch, channels, height, width = tensor.shape
    out = np.zeros((batch, channels, sh * sw, gh * gw), dtype=np.int64)
    phase_x = (np.arange(width) + pw) % sw
    tile_x = np.minimum(np.arange(width) // sw // tw, gw - 1)
    for b in range(batch):
        for c in range(channels):
            for y in range(height):
                phase_y = (y + ph) % sh * sw
                tile_y = min(y // sh // th, gh - 1) * gw
                for x in range(width):
                    out[b, c, phase_y + phase_x[x], tile_y + tile_x[x]] += tensor[b, c, y, x]
    return out


@kernel
def block_counts(
    mask: NDArray[np.bool_], groups: int, block: int, phase_of: IntArray, phases: int
) -> IntArray:
    """(groups, blocks, channels, phases) kept weights of a (m, k) mask in each block of ``block`` output
    channels; ``phase_of`` is (kernel positions,).
    """
    m, k = mask.shape
    positions = len(phase_of)
    channels, rows = k // positions, m // groups
    out = np.zeros((groups, (rows + block - 1) // block, channels, phases), dtype=np.int64)
    for o in range(m):
        counts = out[o // rows, o % rows // block]
        for c in range(channels):
            for p in range(positions):
                counts[c, phase_of[p]] += mask[o, c * positions + p]
    return out
