"""Images with stride 2 taken out, one at a time, in memory that all layers share by turns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core import types as _types
from numpy.typing import NDArray

from simsparse.ir import ConvShape
from simsparse.kernels.conv_split import sample_image, split_image
from simsparse.kernels.simd import LANES, Width, chosen_isa, width
from simsparse.packed.arrays import huge_pages
from simsparse.packed.conv_window import SHARED_FLOATS, is_split, part_floats
from simsparse.packed.request import Floats
from simsparse.packed.threads import on_threads, width_type

types: Any = _types
_INTEGER = types.int64
_spare: list[NDArray[np.float32]] = []
"""Memory of earlier calls: new pages cost more than the pass. List operations are atomic."""

BindImage = Callable[[int, Floats], Callable[[], None]]
"""``bind(item, found)``: what is done with one image, (1, channels, floats) as it was rearranged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithoutStride:
    """Rearranges images for ``conv``: into four parts for a window, into the pixels that are used for 1x1."""

    conv: ConvShape
    threads: int = 1

    @property
    def channel_floats(self) -> int:
        """Of one channel, rearranged."""
        conv = self.conv
        return 4 * part_floats(conv) if is_split(conv) else conv.out_height * conv.out_width

    def bind(self, x: Floats, bind_image: BindImage) -> Callable[[], None]:
        """A call that rearranges images x (batch, channels, pixels) one by one, each for its product.

        Memory is borrowed for a call; products are bound again only where it is other memory than the last.
        """
        channels = x.shape[1]
        size = channels * self.channel_floats
        rearrange, isa = self._rearranger(channels), chosen_isa()
        bound: list[Any] = [None, None, ()]  # memory, as images, and what is done with each

        def run() -> None:
            room = _borrow(size + 2 * LANES[isa])
            if bound[0] is not room:
                found = room[:size].reshape(1, channels, -1)
                calls = [bind_image(item, found) for item in range(x.shape[0])]
                bound[:] = room, found[0], list(zip(x, calls, strict=True))
            for image, call in bound[2]:
                rearrange(image, bound[1])
                call()
            _spare.append(room)

        return run

    def _rearranger(self, channels: int) -> Callable[[Floats, Floats], None]:
        """What rearranges one image (channels, pixels), on threads where it is large."""
        conv, split, two = self.conv, is_split(self.conv), width(2)
        sizes = (conv.in_height, conv.in_width, *((part_floats(conv),) if split else conv.stride))
        threads = self.threads if channels * conv.in_height * conv.in_width >= SHARED_FLOATS else 1
        bounds = np.arange(threads + 1, dtype=np.int64) * channels // threads
        if threads == 1:
            alone = _compiled(split, two)
            return lambda image, found: alone(two, 0, channels, image, found, *sizes)
        shared = functools.partial(_compiled_threads, split, two)
        return lambda image, found: on_threads(threads, shared, (two, bounds, image, found, *sizes))


def _borrow(size: int) -> NDArray[np.float32]:
    """Memory that no other call uses; what is too small is forgotten."""
    try:
        room = _spare.pop()
    except IndexError:
        room = None
    return room if room is not None and room.size >= size else huge_pages(4 * size).view(np.float32)


@functools.cache
def _compiled(split: bool, two: Width) -> Callable[..., None]:
    return _entry(split_image if split else sample_image, split, two, (_INTEGER, _INTEGER))


@functools.cache
def _compiled_threads(split: bool, two: Width) -> Callable[..., None]:
    from simsparse.kernels.conv_threads import sample_shares, split_shares

    return _entry(split_shares if split else sample_shares, split, two, (types.Array(_INTEGER, 1, "C"),))


def _entry(dispatcher: Any, split: bool, two: Width, channels: tuple[Any, ...]) -> Callable[..., None]:
    image, sizes = types.Array(types.float32, 2, "A"), [_INTEGER] * (3 if split else 4)
    entry: Callable[..., None] = dispatcher.compile((width_type(two), *channels, image, image, *sizes))
    return entry
