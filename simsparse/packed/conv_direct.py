"""Dense convolutions with few input channels: the strip of the image that fits in L1, rows of W by fours."""

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
from simsparse.kernels.conv_direct import GROUP, direct_share
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_depthwise import Strip, strip_of
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type
from simsparse.packed.tiled import VECTORS

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_BEFORE = (*(types.UniTuple(_INTEGER, size) for size in (2, 3, 13)), _INTEGER, _BATCH, _BATCH)
_AFTER = (_VECTOR, _BATCH, _INTEGER)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
_MOST_LANES = 1.15
"""Lanes of the vectors of an output row for each output."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direct:
    """All weights, four rows interleaved; where each tap lies in the strip; ``spare`` as in ``Tiled``."""

    threads: int
    strip: Strip
    channels: int
    offsets: NDArray[np.int32]
    values: NDArray[np.float32]
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        return self.offsets.nbytes + self.values.nbytes

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
        geometry = self.strip.geometry
        cut = panels(geometry[3], VECTORS["grouped"][chosen_isa()])
        taps = (self.offsets.size, address(self.offsets), address(self.values))
        counts = (cut.wides, cut.total - cut.wides)
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        before = (counts, taps, geometry, self.strip.floats, x, y)
        widths, strips = (cut.wide, cut.narrow, width(2)), x.shape[0] * -(-geometry[2] // geometry[8])
        if self.threads == 1:
            operands = (*widths, 0, strips, *before, tiles[0], shift, beside, activation)
            return functools.partial(_compiled(*widths), *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * strips // self.threads
        shared = (*widths, bounds, *before, tiles, shift, beside, activation)
        return lambda: on_threads(self.threads, lambda: _compiled_threads(*widths), shared)

    def _scratch(self) -> NDArray[np.float32]:
        """A tile of zeros per thread, or one of an earlier call: its borders still are zeros."""
        try:
            return self.spare.pop()
        except IndexError:
            tiles = aligned(self.threads * self.channels * self.strip.floats, np.float32)
            tiles[:] = 0
            return tiles.reshape(self.threads, -1)


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


def pack_direct(weights: CompressedRows, conv: ConvShape, threads: int) -> Direct:
    """Rows of all weights, channel by channel."""
    m, k = weights.shape
    strip = strip_of(conv, host_caches().l1_bytes // 2 // conv.in_channels, least=1)
    channels = np.arange(conv.in_channels, dtype=np.int32)[:, None] * np.int32(4 * strip.floats)
    groups = -(-m // GROUP)
    rows = np.minimum(np.arange(groups * GROUP), m - 1)
    full = np.asarray(weights.values, np.float32).reshape(m, k)[rows]
    values = aligned(full.size, np.float32)
    values[...] = full.reshape(groups, GROUP, k).transpose(0, 2, 1).reshape(-1)
    return Direct(
        threads=threads,
        strip=strip,
        channels=conv.in_channels,
        offsets=(channels + strip.taps).reshape(-1),
        values=values,
    )


@functools.cache
def _compiled(*widths: Width) -> Callable[..., None]:
    dispatcher: Any = direct_share
    tile = types.Array(types.float32, 1, "C")
    entry: Callable[..., None] = dispatcher.compile(
        (*map(width_type, widths), _INTEGER, _INTEGER, *_BEFORE, tile, *_AFTER)
    )
    return entry


@functools.cache
def _compiled_threads(*widths: Width) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    dispatcher: Any = conv_threads.direct_shares
    tiles = types.Array(types.float32, 2, "C")
    entry: Callable[..., None] = dispatcher.compile(
        (*map(width_type, widths), _BOUNDS, *_BEFORE, tiles, *_AFTER)
    )
    return entry
