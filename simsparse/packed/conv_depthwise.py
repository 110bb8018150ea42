"""Depthwise convolutions: taps per channel, and the padded strip that the kernel copies channels to."""

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
from simsparse.kernels.conv_depthwise import ROWS, depthwise_share
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address, aligned
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panels
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_TUPLES = tuple(types.UniTuple(_INTEGER, size) for size in (2, 3, 13))
_MATRICES, _REST = (_BATCH, _BATCH), (_VECTOR, _BATCH, _INTEGER)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
LINE = LINE_BYTES // 4
_VECTORS = 3
"""Most vectors of a panel: times four rows they and their inputs fill sixteen registers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Depthwise:
    """The stored taps of each row, and the geometry in the kernel's terms; ``spare`` as in ``Tiled``."""

    threads: int
    geometry: tuple[int, ...]
    tile_floats: int
    ends: NDArray[np.int64]
    offsets: NDArray[np.int32]
    values: NDArray[np.float32]
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        return self.ends.nbytes + self.offsets.nbytes + self.values.nbytes

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
        cut = panels(self.geometry[3], _VECTORS)
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        taps = (address(self.ends), address(self.offsets), address(self.values))
        before = ((cut.wides, cut.total - cut.wides), taps, self.geometry, x, y)
        widths, planes = (cut.wide, cut.narrow, width(2)), x.shape[0] * x.shape[1]
        if self.threads == 1:
            operands = (*widths, 0, planes, *before, tiles[0], shift, beside, activation)
            return functools.partial(compiled_depthwise(*widths), *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
        shared = (*widths, bounds, *before, tiles, shift, beside, activation)
        return lambda: on_threads(self.threads, lambda: _compiled_threads(*widths), shared)

    def _scratch(self) -> NDArray[np.float32]:
        """A tile of zeros per thread, or one of an earlier call: its borders still are zeros."""
        try:
            return self.spare.pop()
        except IndexError:
            tiles = aligned(self.threads * self.tile_floats, np.float32)
            tiles[:] = 0
            return tiles.reshape(self.threads, self.tile_floats)


def pack_depthwise(weights: CompressedRows, conv: ConvShape, threads: int) -> Depthwise:
    """Rows of kernel height · kernel width taps, one or more per channel."""
    strip = strip_of(conv, host_caches().l1_bytes // 2, multiplier=weights.shape[0] // conv.in_channels)
    return Depthwise(
        threads=threads,
        geometry=strip.geometry,
        tile_floats=strip.floats,
        ends=weights.pointers,
        offsets=strip.taps[weights.columns],
        values=np.ascontiguousarray(weights.values, np.float32),
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


@functools.cache
def compiled_depthwise(*widths: Width) -> Callable[..., None]:
    """The kernel for panels of a wide and a narrow width, and the width that rows are copied in."""
    dispatcher: Any = depthwise_share
    bounds = (_INTEGER, _INTEGER)
    entry: Callable[..., None] = dispatcher.compile(
        (*map(width_type, widths), *bounds, *_TUPLES, *_MATRICES, _VECTOR, *_REST)
    )
    return entry


@functools.cache
def _compiled_threads(*widths: Width) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    dispatcher: Any = conv_threads.depthwise_shares
    tiles = types.Array(types.float32, 2, "C")
    entry: Callable[..., None] = dispatcher.compile(
        (*map(width_type, widths), _BOUNDS, *_TUPLES, *_MATRICES, tiles, *_REST)
    )
    return entry
