"""Depthwise convolutions whose taps are shifts of the plane: masks, once for all panels that share them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core import types as _types
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.kernels.conv_flat import flat_share
from simsparse.kernels.simd import Width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_window import tap_shifts, window_of
from simsparse.packed.panels import Panels, panels
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_OPERANDS = (
    *(types.UniTuple(_INTEGER, size) for size in (2, 3, 2)),
    *(_INTEGER, _BATCH, _BATCH, _VECTOR, _BATCH, _INTEGER),
)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
_VECTORS = 7
"""Vectors of a panel: enough independent sums, and whole rows of the usual images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flat:
    """The stored taps of each row, and per panel the addresses of its masks and flags in ``kept``."""

    threads: int
    multiplier: int
    cut: Panels
    ends: NDArray[np.int64]
    numbers: NDArray[np.int32]
    values: NDArray[np.float32]
    shifts: NDArray[np.int64]
    records: NDArray[np.int64]
    kept: tuple[NDArray[Any], ...]

    @property
    def stored_bytes(self) -> int:
        parts: tuple[NDArray[Any], ...] = (self.ends, self.numbers, self.values, self.shifts, self.records)
        return sum(part.nbytes for part in parts + self.kept)

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.bind(x, y, bias, residual, activation)()

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        taps = (address(self.ends), address(self.numbers), address(self.values))
        tables = (address(self.shifts), address(self.records))
        counts = (self.cut.wides, self.cut.total - self.cut.wides)
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        operands = (counts, taps, tables, self.multiplier, x, y, shift, beside, activation)
        widths, planes = (self.cut.wide, self.cut.narrow), y.shape[0] * y.shape[1]
        if self.threads == 1:
            return functools.partial(_compiled(*widths), *widths, 0, planes, *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
        shared = (*widths, bounds, *operands)
        return lambda: on_threads(self.threads, lambda: _compiled_threads(*widths), shared)


def pack_flat(weights: CompressedRows, conv: ConvShape, threads: int) -> Flat:
    """Rows of kernel height · kernel width taps, one or more per channel."""
    cut = panels(conv.out_height * conv.out_width, _VECTORS)
    window = window_of(conv)
    split = cut.wides * cut.wide.count
    wide, wide_kept = _panel_masks(window.masks[:, :split], cut.wide)
    narrow, narrow_kept = _panel_masks(window.masks[:, split:], cut.narrow)
    return Flat(
        threads=threads,
        multiplier=weights.shape[0] // conv.in_channels,
        cut=cut,
        ends=weights.pointers,
        numbers=weights.columns,
        values=np.ascontiguousarray(weights.values, np.float32),
        shifts=tap_shifts(conv),
        records=np.concatenate((wide, narrow)),
        kept=(*wide_kept, *narrow_kept),
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


@functools.cache
def _compiled(wide: Width, narrow: Width) -> Callable[..., None]:
    dispatcher: Any = flat_share
    types_of = (width_type(wide), width_type(narrow), _INTEGER, _INTEGER, *_OPERANDS)
    entry: Callable[..., None] = dispatcher.compile(types_of)
    return entry


@functools.cache
def _compiled_threads(wide: Width, narrow: Width) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    dispatcher: Any = conv_threads.flat_shares
    entry: Callable[..., None] = dispatcher.compile(
        (width_type(wide), width_type(narrow), _BOUNDS, *_OPERANDS)
    )
    return entry
