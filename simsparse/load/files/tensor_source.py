"""Where the values of a weight come from; they are read when asked for, one tensor at a time, and not kept.

Only shape and element type are known before. ``nonzero`` is apart from ``values``: a mask needs no
conversion to float32, which would be most of the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.ir import WeightArray
from simsparse.load.graph import shape_text
from simsparse.load.onnx_text import clean, mistake

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Shape = tuple[int, ...]

_FLOATS = ("float16", "float32", "float64")
_CHUNK_BYTES = 1 << 18  # a piece and its comparison stay in the cache of a core


class TensorSource(Protocol):
    """A tensor that can be read."""

    @property
    def shape(self) -> Shape:
        """Its sizes, known without reading."""

    def values(self) -> Array:
        """Its values in the element type of the file; possibly a read-only view of the file."""

    def nonzero(self) -> Mask:
        """True where its values are not zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTensor:
    """Little-endian elements at ``(path, offset)``, mapped into memory while they are used."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]
    path: Path
    offset: int

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def values(self) -> Array:
        """A read-only view of the file.

        Raises
        ------
        FileError
            If the file is gone or has become shorter since it was opened.
        """
        if not self.size_bytes:
            return np.zeros(self.shape, self.dtype)
        try:
            mapped = np.memmap(self.path, np.uint8, "r", offset=self.offset, shape=(self.size_bytes,))
        except (OSError, ValueError):
            where, got = f"tensor {clean(self.name)}", "a file that has changed"
            expected = f"{self.size_bytes:,} bytes"
            raise mistake(clean(str(self.path)), where, expected, got, "load the model again") from None
        return np.asarray(mapped).view(self.dtype).reshape(self.shape)

    def nonzero(self) -> Mask:
        """True where the values are not zero."""
        return nonzero_mask(self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A matrix cut out of another tensor: rows or columns of it, possibly transposed first."""

    source: TensorSource
    transpose: bool = False
    rows: tuple[int, int] | None = None

    @property
    def shape(self) -> Shape:
        """Sizes of the part."""
        shape = tuple(reversed(self.source.shape)) if self.transpose else self.source.shape
        return shape if self.rows is None else (self.rows[1] - self.rows[0], *shape[1:])

    def values(self) -> Array:
        """The part's values, C-contiguous."""
        return np.ascontiguousarray(self._cut(self.source.values()))

    def nonzero(self) -> Mask:
        """True where the part is not zero."""
        return np.ascontiguousarray(self._cut(self.source.nonzero()))

    def _cut(self, values: Array) -> Array:
        turned = values.T if self.transpose else values
        return turned if self.rows is None else turned[self.rows[0] : self.rows[1]]


class FileWeights(Mapping[str, WeightArray]):
    """Layer name → ``(m, k)`` array, read at each access; ``nonzero`` gives the mask alone, several times
    faster.
    """

    def __init__(self, sources: Mapping[str, TensorSource], shapes: Mapping[str, tuple[int, int]]) -> None:
        """``shapes`` are (m, k) of each layer; a tensor with more axes is read as that matrix."""
        for name, source in sources.items():
            if math.prod(source.shape) != math.prod(shapes[name]) or source.shape[0] != shapes[name][0]:
                raise ShapeError(
                    f"layer {name}: expected weights of shape {shape_text(shapes[name])}, got"
                    f" {shape_text(source.shape)} (is the file of this model?)"
                )
        self._sources, self._shapes = dict(sources), dict(shapes)

    def __getitem__(self, name: str) -> WeightArray:
        values = self._sources[name].values()
        if values.dtype.name not in _FLOATS or not values.flags.aligned:
            values = values.astype(np.float32)
        return values.reshape(self._shapes[name])

    def nonzero(self, name: str) -> Mask:
        """True where the weights ``(m, k)`` of layer ``name`` are not zero."""
        return self._sources[name].nonzero().reshape(self._shapes[name])

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def nonzero_mask(values: Array) -> Mask:
    """True where ``values`` are not zero (−0 is zero, NaN is not), of any element type.

    Floats below 32 bits are compared as integers without their sign: ten times faster than as floats.
    """
    mask = np.empty(values.shape, np.bool_)
    flat, out = np.ascontiguousarray(values).reshape(-1), mask.reshape(-1)
    bits = flat.dtype.itemsize * 8
    signed_zero = flat.dtype.kind in "fV" and bits in (8, 16)
    if signed_zero:
        flat = flat.view(np.uint8 if bits == 8 else np.uint16)
    magnitude = flat.dtype.type((1 << (bits - 1)) - 1) if signed_zero else None
    step = max(1, _CHUNK_BYTES // flat.dtype.itemsize)
    for start in range(0, flat.size, step):
        piece = flat[start : start + step]
        np.not_equal(piece if magnitude is None else piece & magnitude, 0, out=out[start : start + step])
    return mask
