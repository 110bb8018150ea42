"""What depthwise and direct convolutions share: a kernel on runs of planes or strips, one tile per thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba.core import types as _types
from numpy.typing import NDArray

from simsparse.kernels.simd import Width
from simsparse.packed.arrays import LINE_BYTES, aligned
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER, _BOUNDS = types.int64, types.Array(types.int64, 1, "C")
_BATCH, _VECTOR = types.Array(types.float32, 3, "A"), types.Array(types.float32, 1, "C")
_TILES = types.Array(types.float32, 2, "C")
_NO_BIAS, _NO_RESIDUAL = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)

Constants = tuple[int | tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planes:
    """A kernel of planes, and ``threaded``, its name in ``kernels.conv_threads``.

    ``of_image`` is how many planes, or what else the kernel numbers through the batch, an image has.
    ``constants`` are its operands that no call changes: integers, tuples of them, addresses in ``kept``. A
    tile of ``tile_floats`` zeros per thread (0: none) stays +0 where the kernel does not write; ``spare``
    holds tiles that no call is using.
    """

    threads: int
    kernel: Callable[..., None]
    threaded: str
    widths: tuple[Width, ...]
    of_image: int
    constants: Constants
    tile_floats: int
    kept: tuple[NDArray[Any], ...]
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        """Bytes of weights and tables."""
        return sum(array.nbytes for array in self.kept)

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        """As in ``Images``."""
        tiles = self._scratch()
        self._bound(x, y, bias, residual, activation, tiles)()
        self.spare.append(tiles)

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """As in ``Images``."""
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
        after = (
            _NO_BIAS if bias is None else bias,
            _NO_RESIDUAL if residual is None else residual,
            activation,
        )
        kinds = tuple(len(value) if isinstance(value, tuple) else 0 for value in self.constants)
        own = self.kernel, self.widths, kinds
        planes = x.shape[0] * self.of_image
        if self.threads == 1:
            tile = (tiles[0],) if self.tile_floats else ()
            operands = (*self.widths, 0, planes, *self.constants, x, y, *tile, *after)
            return functools.partial(_compiled(*own, bool(tile)), *operands)
        bounds = np.arange(self.threads + 1, dtype=np.int64) * planes // self.threads
        several = (tiles,) if self.tile_floats else ()
        shared = (*self.widths, bounds, *self.constants, x, y, *several, *after)
        entry = functools.partial(_compiled_threads, self.threaded, *own[1:], bool(several))
        return lambda: on_threads(self.threads, entry, shared)

    def _scratch(self) -> NDArray[np.float32]:
        """A tile of zeros per thread, or one of an earlier call: its borders still are zeros."""
        try:
            return self.spare.pop()
        except IndexError:
            size = -(-self.tile_floats // (LINE_BYTES // 4)) * (LINE_BYTES // 4)
            tiles = aligned(self.threads * size, np.float32)
            tiles[:] = 0
            return tiles.reshape(self.threads, size)


def _signature(widths: tuple[Width, ...], kinds: tuple[int, ...], bounds: Any, tile: Any) -> tuple[Any, ...]:
    constants = [types.UniTuple(_INTEGER, kind) if kind else _INTEGER for kind in kinds]
    return (*map(width_type, widths), *bounds, *constants, _BATCH, _BATCH, *tile, _VECTOR, _BATCH, _INTEGER)


@functools.cache
def _compiled(
    kernel: Any, widths: tuple[Width, ...], kinds: tuple[int, ...], has_tile: bool
) -> Callable[..., None]:
    tile = (_VECTOR,) if has_tile else ()
    entry: Callable[..., None] = kernel.compile(_signature(widths, kinds, (_INTEGER, _INTEGER), tile))
    return entry


@functools.cache
def _compiled_threads(
    name: str, widths: tuple[Width, ...], kinds: tuple[int, ...], has_tile: bool
) -> Callable[..., None]:
    from simsparse.kernels import conv_threads

    tile = (_TILES,) if has_tile else ()
    kernel: Any = getattr(conv_threads, name)
    entry: Callable[..., None] = kernel.compile(_signature(widths, kinds, (_BOUNDS,), tile))
    return entry
