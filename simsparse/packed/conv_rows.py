"""Depthwise 3x3 convolutions whose rows store all nine taps: the padded planes that the kernel walks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba.core import types as _types
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_rows import rows_share
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address, aligned
from simsparse.packed.host import host_caches
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_BEFORE = (_INTEGER, types.UniTuple(_INTEGER, 9), types.UniTuple(_INTEGER, 4), _BATCH, _BATCH)
_AFTER = (_VECTOR, _BATCH, _INTEGER)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
_TAPS = 9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Nine weights per row, and the geometry in the kernel's terms; ``spare`` as in ``Tiled``."""

    threads: int
    geometry: tuple[int, ...]
    tile: tuple[int, ...]
    values: NDArray[np.float32]
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        return self.values.nbytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        tiles = self._scratch()
        self._bound(x, y, bias, residual, activation, tiles)()
        self.spare.append(tiles)

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        return self._bound(x, y, bias, residual, activation, self._scratch())

    def _bound(
        self,
        x: Floats,
        y: Floats,
        bias: Floats | None,
        residual: Floats | None,
        activation: int,
        tiles: Floats,
    ) -> Callable[[], None]:
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        before = (address(self.values), self.geometry, self.tile, x, y)
        of, planes = width(), x.shape[0] * x.shape[1]
        if self.threads == 1:
            operands = (of, 0, planes, *before, tiles[0], shift, beside, activation)
            return functools.partial(_compiled(of), *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
        shared = (of, bounds, *before, tiles, shift, beside, activation)
        return lambda: on_threads(self.threads, lambda: _compiled_threads(of), shared)

    def _scratch(self) -> NDArray[np.float32]:
        """Tiles of zeros per thread, or those of an earlier call: their borders still are zeros."""
        try:
            return self.spare.pop()
        except IndexError:
            size = self.geometry[7] * self.tile[0] // 4 + LINE_BYTES // 4
            tiles = aligned(self.threads * size, np.float32)
            tiles[:] = 0
            return tiles.reshape(self.threads, size)


def has_rows(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether this form is made for the window and its taps."""
    return (
        (conv.kernel_height, conv.kernel_width) == (3, 3)
        and conv.dilation == (1, 1)
        and conv.stride in ((1, 1), (2, 2))
        and weights.columns.size == _TAPS * weights.shape[0]
    )


def pack_windows(weights: CompressedRows, conv: ConvShape, threads: int) -> Rows:
    """Rows of nine taps, one or more per channel."""
    stride, (top, left, _, _) = conv.stride[0], conv.padding
    lanes = LANES[chosen_isa()]
    before = -left % lanes  # so that inputs start a vector
    seen = (
        (max(conv.out_width, lanes) - 1) * stride + stride * 2 + 3
    )  # two vectors at stride 2 start 2 floats on
    span = -(-(before + max(left + max(conv.in_width, lanes), seen)) // lanes) * lanes
    strip, batch = _cut(conv, 4 * span)
    rows = (strip - 1) * stride + 3
    return Rows(
        threads=threads,
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, stride, top, strip, batch),
            weights.shape[0] // conv.in_channels,
        ),
        tile=(-(-4 * rows * span // LINE_BYTES) * LINE_BYTES, 4 * span, 4 * (before + left), 4 * before),
        values=np.ascontiguousarray(weights.values, np.float32),
    )


def _cut(conv: ConvShape, row_bytes: int) -> tuple[int, int]:
    """Output rows of a strip, and how many whole planes are copied at a time: half of L1."""
    room, stride = host_caches().l1_bytes // 2, conv.stride[0]
    most = max((room // row_bytes - 3) // stride + 1, 1)
    if most < conv.out_height:
        strips = -(-conv.out_height // most)
        return -(-conv.out_height // strips), 1
    plane_bytes = row_bytes * ((conv.out_height - 1) * stride + 3)
    return conv.out_height, max(room // plane_bytes, 1)


@functools.cache
def _compiled(of: Width) -> Callable[..., None]:
    dispatcher: Any = rows_share
    tile = types.Array(types.float32, 1, "C")
    entry: Callable[..., None] = dispatcher.compile(
        (width_type(of), _INTEGER, _INTEGER, *_BEFORE, tile, *_AFTER)
    )
    return entry


@functools.cache
def _compiled_threads(of: Width) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    dispatcher: Any = conv_threads.row_shares
    tiles = types.Array(types.float32, 2, "C")
    entry: Callable[..., None] = dispatcher.compile((width_type(of), _BOUNDS, *_BEFORE, tiles, *_AFTER))
    return entry
