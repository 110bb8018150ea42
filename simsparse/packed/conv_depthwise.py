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
        cut = panels(self.geometry[3], _VECTORS)
        tiles = self._scratch()
        shift = _NO_BIAS if bias is None else bias
        beside = _NO_RESIDUAL if residual is None else residual
        taps = (address(self.ends), address(self.offsets), address(self.values))
        counts = (cut.wides, cut.total - cut.wides)
        widths = (cut.wide, cut.narrow, width(2))
        planes = x.shape[0] * x.shape[1]
        if self.threads == 1:
            operands = (counts, taps, self.geometry, x, y, tiles[0], shift, beside, activation)
            compiled_depthwise(*widths)(*widths, 0, planes, *operands)
        else:
            bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
            operands = (counts, taps, self.geometry, x, y, tiles, shift, beside, activation)
            on_threads(self.threads, lambda: _compiled_threads(*widths), (*widths, bounds, *operands))
        self.spare.append(tiles)

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
    down, step = conv.stride
    top, left, _, _ = conv.padding
    lanes = LANES[chosen_isa()]
    reach = (conv.kernel_width - 1) * conv.dilation[1]
    outputs = -(-conv.out_width // lanes) * lanes
    lead = -(left // step) % lanes * step  # so that the first input starts a vector
    pitch = max(outputs + (lead + reach) // step, -(-(conv.in_width + lead + left) // step)) + 1
    pitch = -(-pitch // LINE) * LINE
    deep = (conv.kernel_height - 1) * conv.dilation[0] + 1
    strip = _strip_rows(conv, pitch * step, deep)
    slots = (-(-strip // ROWS) * ROWS - 1) * down + deep  # rows that fill up the last four are only read
    phase = -(-(slots * pitch + 4 * lanes) // LINE) * LINE
    r, s = np.divmod(weights.columns.astype(np.int64), conv.kernel_width)
    place, remainder = np.divmod(lead + s * conv.dilation[1], step)
    offsets = remainder * phase + r * conv.dilation[0] * pitch + place
    return Depthwise(
        threads=threads,
        geometry=(
            *(conv.in_height, conv.in_width, conv.out_height, conv.out_width, down, step, top, lead + left),
            *(strip, pitch, phase, weights.shape[0] // conv.in_channels, deep),
        ),
        tile_floats=-(-step * phase // LINE) * LINE + LINE,
        ends=weights.pointers,
        offsets=(4 * offsets).astype(np.int32),
        values=np.ascontiguousarray(weights.values, np.float32),
    )


def _strip_rows(conv: ConvShape, row_floats: int, deep: int) -> int:
    """Output rows whose inputs fill half of L1; all where that is not many more."""
    fitting = host_caches().l1_bytes // 2 // (4 * row_floats)
    most = max((fitting - deep) // conv.stride[0] + 1, ROWS)
    strips = -(-conv.out_height // most)
    even = -(-conv.out_height // strips)
    return -(-even // ROWS) * ROWS if strips > 1 else conv.out_height


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
