"""Images sorted by even and odd rows and columns, in memory that calls share by turns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba.core import types as _types
from numpy.typing import NDArray

from simsparse.ir import ConvShape
from simsparse.kernels.conv_split import split_images
from simsparse.kernels.simd import Width, width
from simsparse.packed.arrays import aligned
from simsparse.packed.conv_window import part_floats
from simsparse.packed.request import Floats
from simsparse.packed.threads import width_type

types: Any = _types


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Splits images for ``conv``; ``spare`` keeps memory of earlier calls: new pages cost more."""

    conv: ConvShape
    spare: list[NDArray[np.float32]] = field(default_factory=list)

    @contextmanager
    def parts(self, x: Floats) -> Iterator[Floats]:
        """(batch, channels, 4 parts) of images (batch, channels, pixels)."""
        part = part_floats(self.conv)
        size = x.shape[0] * x.shape[1] * 4 * part
        try:
            room = self.spare.pop()
        except IndexError:
            room = aligned(size, np.float32)
        if room.size < size:
            room = aligned(size, np.float32)
        found = room[:size].reshape(x.shape[0], x.shape[1], 4 * part)
        two = width(2)
        _compiled(two)(two, x, found, self.conv.in_height, self.conv.in_width, part)
        yield found
        self.spare.append(room)


@functools.cache
def _compiled(two: Width) -> Callable[..., None]:
    dispatcher: Any = split_images
    batch, integer = types.Array(types.float32, 3, "A"), types.int64
    entry: Callable[..., None] = dispatcher.compile(
        (width_type(two), batch, batch, integer, integer, integer)
    )
    return entry
