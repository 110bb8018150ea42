"""Which inputs of a layer were really not zero, one bit each, as a run of the network showed them.

A mask has the shape that the layer's operator gets: (batch, channels, height, width) for a convolution, or
(batch, channels, length) for one of one dimension; (…, k) for a linear layer, features last; the right
operand (groups·k, n) for a product of two activations.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.ir import Layer, LayerKind

BoolArray = NDArray[np.bool_]
MOST_MASK_BYTES = 1 << 28
"""Bits that a capture keeps of one network, in bytes: two thousand million inputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InputMask:
    """Non-zeros of one layer's input: ``bits`` as `numpy.packbits` makes them, over ``shape`` row by row.

    Raises
    ------
    ShapeError
        If the bits are not as many as the shape needs.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.bits.shape != (packed_bytes(self.shape),):
            raise ShapeError(
                f"input mask: expected {packed_bytes(self.shape)} packed bytes, got {self.bits.shape}"
            )

    @classmethod
    def of(cls, nonzero: BoolArray) -> InputMask:
        """The mask with these non-zeros."""
        return cls(bits=np.packbits(nonzero), shape=nonzero.shape)

    @property
    def nonzero(self) -> BoolArray:
        """The non-zeros in the operator's own shape, unpacked anew."""
        flat = np.unpackbits(self.bits, count=math.prod(self.shape)).view(np.bool_)
        return flat.reshape(self.shape)

    @cached_property
    def density(self) -> float:
        """Share of non-zeros."""
        return int(np.count_nonzero(self.nonzero)) / math.prod(self.shape)

    @cached_property
    def digest(self) -> str:
        """A hash of the mask; equal masks of equal shape have the same."""
        return hashlib.blake2b(self.bits.tobytes(), digest_size=16, person=b"input mask").hexdigest()

    def operand(self, layer: Layer) -> BoolArray:
        """The input of ``layer``: (batch, channels, height, width) of a convolution, else (groups·k, n).

        Raises
        ------
        ShapeError
            If the mask is of another shape.
        """
        if misfit(self.shape, layer):
            raise ShapeError(f"layer {layer.name}: expected an input of its own size, got {self.shape}")
        return _arranged(self.nonzero, layer)


def packed_bytes(shape: tuple[int, ...]) -> int:
    """Bytes that the bits of a mask take."""
    return -(-math.prod(shape) // 8)


def misfit(shape: tuple[int, ...], layer: Layer) -> bool:
    """Whether an input of ``shape`` has other samples or positions than ``layer`` computes.

    Raises
    ------
    ShapeError
        If it has another number of features than the layer.
    """
    conv = layer.conv
    if conv is not None:
        seen = (*shape[:2], 1, *shape[2:]) if len(shape) == 3 and conv.in_height == 1 else shape
        if len(seen) != 4 or seen[1] != conv.in_channels:
            raise _foreign(f"(batch, {conv.in_channels}, {conv.in_height}, {conv.in_width})", shape)
        return seen != (conv.batch, conv.in_channels, conv.in_height, conv.in_width)
    rows = layer.groups * layer.k
    if layer.kind == LayerKind.MATMUL:
        if len(shape) != 2:
            raise _foreign(f"({rows}, {layer.n})", shape)
        return shape != (rows, layer.n)
    if not shape or shape[-1] != rows:
        raise _foreign(f"(…, {rows})", shape)
    return math.prod(shape[:-1]) != layer.n


def _foreign(expected: str, shape: tuple[int, ...]) -> ShapeError:
    return ShapeError(f"expected an input of shape {expected}, got {shape}")


def _arranged(nonzero: BoolArray, layer: Layer) -> BoolArray:
    conv = layer.conv
    if conv is not None:
        return nonzero.reshape(conv.batch, conv.in_channels, conv.in_height, conv.in_width)
    if layer.kind == LayerKind.MATMUL:
        return nonzero
    return np.ascontiguousarray(nonzero.reshape(layer.n, layer.groups * layer.k).T)
