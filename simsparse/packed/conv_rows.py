"""Depthwise 3x3 convolutions whose rows store all nine taps: the vectors of a row, and masks for its ends."""

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
from simsparse.kernels.conv_rows import rows_share
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import address, aligned
from simsparse.packed.conv_window import is_flat
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_OPERANDS = (
    *(_INTEGER, types.UniTuple(_INTEGER, 8), types.UniTuple(_INTEGER, 6)),
    *(_BATCH, _BATCH, _VECTOR, _BATCH, _INTEGER),
)
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)
_TAPS, _MASKS = 9, 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Nine weights per row, and the geometry in the kernel's terms; ``kept`` is what ``edges`` points to."""

    threads: int
    geometry: tuple[int, ...]
    edges: tuple[int, ...]
    values: NDArray[np.float32]
    kept: tuple[NDArray[Any], ...]

    @property
    def stored_bytes(self) -> int:
        return self.values.nbytes + sum(part.nbytes for part in self.kept)

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        operands = (address(self.values), self.geometry, self.edges, x, y, shift, beside, activation)
        of, planes = width(), y.shape[0] * y.shape[1]
        if self.threads == 1:
            _compiled(of)(of, 0, planes, *operands)
        else:
            bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
            on_threads(self.threads, lambda: _compiled_threads(of), (of, bounds, *operands))


def has_rows(weights: CompressedRows, conv: ConvShape) -> bool:
    """Whether this form is made for the window and its taps, on a CPU with masked loads.

    Rows of one vector, all of it masked, gain nothing over planes that are only shifted.
    """
    return (
        (conv.kernel_height, conv.kernel_width) == (3, 3)
        and conv.dilation == (1, 1)
        and conv.stride in ((1, 1), (2, 2))
        and conv.out_height > 1
        and (conv.out_width > LANES[chosen_isa()] or not is_flat(conv))
        and chosen_isa() != "plain"
        and weights.columns.size == _TAPS * weights.shape[0]
    )


def pack_windows(weights: CompressedRows, conv: ConvShape, threads: int) -> Rows:
    """Rows of nine taps, one or more per channel."""
    top, left, _, _ = conv.padding
    starts, masks, inside = _vectors(conv)
    blank = aligned(conv.in_width + 4 * masks.shape[2] + left, np.float32)
    blank[:] = 0
    whole, masked = starts[inside], np.ascontiguousarray(starts[~inside])
    edge_masks = np.ascontiguousarray(masks[~inside])
    begin, end = (int(whole[0]), int(whole[-1]) + 1) if whole.size else (0, 0)
    return Rows(
        threads=threads,
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, conv.stride[0], top, left),
            weights.shape[0] // conv.in_channels,
        ),
        edges=(masked.size, address(masked), address(edge_masks), begin, end, address(blank)),
        values=np.ascontiguousarray(weights.values, np.float32),
        kept=(masked, edge_masks, blank),
    )


def _vectors(conv: ConvShape) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
    """First columns of the vectors of an output row, (vectors, masks, lanes), and which need no mask.

    Those that need none follow each other without a gap; a last one that would be ragged starts earlier.
    """
    lanes, step = LANES[chosen_isa()], conv.stride[1]
    starts = np.arange(0, conv.out_width, lanes, dtype=np.int64)
    starts[-1] = min(int(starts[-1]), max(conv.out_width - lanes, 0))
    loads = (0, 1, 2, 2) if step == 1 else (0, lanes, 2, lanes + 1)
    first = starts[:, None, None] * step - conv.padding[1]
    columns = first + np.array(loads)[None, :, None] + np.arange(lanes)
    lanes_inside = (columns >= 0) & (columns < conv.in_width)
    inside = lanes_inside.all(axis=(1, 2)) & (starts % lanes == 0)
    return starts, -lanes_inside.astype(np.int32), inside


@functools.cache
def _compiled(of: Width) -> Callable[..., None]:
    dispatcher: Any = rows_share
    entry: Callable[..., None] = dispatcher.compile((width_type(of), _INTEGER, _INTEGER, *_OPERANDS))
    return entry


@functools.cache
def _compiled_threads(of: Width) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    dispatcher: Any = conv_threads.row_shares
    entry: Callable[..., None] = dispatcher.compile((width_type(of), _BOUNDS, *_OPERANDS))
    return entry
