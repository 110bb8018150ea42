"""Depthwise 3x3 convolutions whose rows store all nine taps: borders as masks, a row of zeros per thread."""

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
from simsparse.kernels.conv_rows import LEAD, ROWS, rows_share
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import LINE_BYTES, address, aligned
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_BEFORE = (_INTEGER, _INTEGER, types.UniTuple(_INTEGER, 11), _BATCH, _BATCH)
_AFTER = (_VECTOR, _BATCH, _INTEGER)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
_TAPS = 9
_LINE, _LEAD = LINE_BYTES // 4, LEAD // 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Nine weights per row, masks of borders, the geometry for the kernel; ``spare`` as in ``Tiled``."""

    threads: int
    geometry: tuple[int, ...]
    scratch_floats: int
    edges: NDArray[np.int32]
    values: NDArray[np.float32]
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        return self.values.nbytes + self.edges.nbytes

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
        before = (address(self.values), address(self.edges), self.geometry, x, y)
        of, planes = width(), x.shape[0] * x.shape[1]
        if self.threads == 1:
            operands = (of, 0, planes, *before, tiles[0], shift, beside, activation)
            return functools.partial(_compiled(of), *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
        shared = (of, bounds, *before, tiles, shift, beside, activation)
        return lambda: on_threads(self.threads, lambda: _compiled_threads(of), shared)

    def _scratch(self) -> NDArray[np.float32]:
        """A row of zeros and room for copied rows per thread, or that of an earlier call."""
        try:
            return self.spare.pop()
        except IndexError:
            room = aligned(self.threads * self.scratch_floats, np.float32)
            room[:] = 0
            return room.reshape(self.threads, self.scratch_floats)


def has_rows(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether this form is made for the window and its taps, with one column at most beyond each side."""
    return (
        (conv.kernel_height, conv.kernel_width) == (3, 3)
        and conv.dilation == (1, 1)
        and conv.stride in ((1, 1), (2, 2))
        and weights.columns.size == _TAPS * weights.shape[0]
        and conv.out_height >= ROWS[conv.stride[0] - 1]
        and conv.padding[1] <= 1
        and _seen(conv) <= conv.in_width + 1
    )


def _seen(conv: ConvShape) -> int:
    """Columns that the last output sees, and those before it."""
    return (conv.out_width - 1) * conv.stride[1] + 3 - conv.padding[1]


def pack_windows(weights: CompressedRows, conv: ConvShape, threads: int) -> Rows:
    """Rows of nine taps, one or more per channel."""
    stride, (top, left, _, _) = conv.stride[0], conv.padding
    lanes = LANES[chosen_isa()]
    last = max(conv.out_width - lanes, 0) * stride - left + lanes * stride + 2  # loads come in whole vectors
    over = max(last - conv.in_width, 0)
    zeros = -(-(conv.in_width + over) // _LINE) * _LINE + _LEAD
    deep = ROWS[stride - 1]
    copied = -(-(((deep - 1) * stride + 3) * conv.in_width + over) // _LINE) * _LINE
    return Rows(
        threads=threads,
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, stride, top, left),
            *(weights.shape[0] // conv.in_channels, over, 4 * zeros, 4 * (zeros + copied)),
        ),
        scratch_floats=_LEAD + zeros + copied + -(-(deep * conv.out_width + lanes) // _LINE) * _LINE,
        edges=_edges(conv, lanes),
        values=np.ascontiguousarray(weights.values, np.float32),
    )


def _edges(conv: ConvShape, lanes: int) -> NDArray[np.int32]:
    """Masks of the lanes that see no border left, of all, and of those that see none right, one per row.

    Lanes are in the order in which the kernel holds them.
    """
    stride, left = conv.stride[1], conv.padding[1]
    order = np.arange(lanes)
    if stride == 2:
        pairs = order.reshape(2, -1, 2)
        order = pairs.transpose(1, 0, 2).reshape(-1)
    first = order * stride - left >= 0
    column = max(conv.out_width - lanes, 0)
    last = (column + order) * stride - left + 2 < conv.in_width
    edges = aligned(3 * lanes, np.int32)
    edges[:] = -np.concatenate((first, np.ones(lanes, np.bool_), last)).astype(np.int32)
    return edges


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
