"""Sparse convolution: the tiled products with an image in place of X, im2col made tile by tile.

>>> import numpy as np
>>> from simsparse.formats import encode
>>> from simsparse.ir import ConvShape
>>> shape = ConvShape(batch=1, in_channels=1, in_height=3, in_width=3, kernel_height=3, kernel_width=3,
...                   out_height=3, out_width=3, padding=(1, 1, 1, 1))
>>> packed = prepare_conv(encode(np.ones((1, 9), np.float32), "csr"), shape)
>>> packed.multiply(np.ones((1, 1, 3, 3), np.float32))[0, 0].tolist()
[[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import FormatError, ShapeError, UsageError
from simsparse.formats.base import Encoded
from simsparse.ir import ConvShape
from simsparse.packed.arrays import can_write
from simsparse.packed.conv_pack import Images, adds_in_place, pack_conv
from simsparse.packed.conv_window import check_conv
from simsparse.packed.preparation import ACTIVATIONS, Activation, bias_vector, check_activation, threads_here
from simsparse.packed.request import Floats

__all__ = ["PackedConv", "prepare_conv"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedConv:
    """A convolution's weights ready to run: ``activation(conv(x) + bias + residual)``.

    Fields are those of ``Packed``. ``conv.batch`` is only what the packing was chosen for.
    """

    shape: tuple[int, int]
    conv: ConvShape
    groups: int
    threads: int
    kernel: str
    packing_s: float
    notes: tuple[str, ...]
    bias: Floats | None
    activation: Activation | None
    ready: Images

    @property
    def stored_bytes(self) -> int:
        """Bytes of the packed weights and of the tables that find a window's inputs."""
        return self.ready.stored_bytes

    def multiply(self, x: ArrayLike, out: Floats | None = None, residual: ArrayLike | None = None) -> Floats:
        """``activation(conv(x) + bias + residual)`` in float32, for any batch.

        x is of shape (batch, channels, height, width); the result, ``out`` and ``residual`` are of shape
        (batch, m, out height, out width), and ``out`` may be x or the residual. Padding is +0. NaN and Inf in
        x reach exactly the outputs whose row stores a weight for them.

        Raises
        ------
        ShapeError
            If x, ``out`` or ``residual`` have another shape.
        FormatError
            If one of them has another dtype than float32 (for x also float16 and bfloat16).
        """
        images = self._images(x)
        conv = self.conv
        shape = (images.shape[0], self.shape[0], conv.out_height, conv.out_width)
        beside = None if residual is None else _checked(np.asarray(residual), "residual", shape)
        y = np.empty(shape, np.float32) if out is None else _checked(out, "out", shape)
        if not _flat(y) or (
            out is not None and not can_write(y, images, beside, adds_in_place=self.adds_in_place)
        ):
            y = np.empty(shape, np.float32)
        if shape[0]:
            flat = None if beside is None else _planes(beside)
            self.ready.run(_planes(images), _planes(y), self.bias, flat, ACTIVATIONS[self.activation])
        if out is None or y is out:
            return y
        out[...] = y
        return out

    def __call__(self, x: ArrayLike) -> Floats:
        return self.multiply(x)

    def bind(self, x: Floats, out: Floats, residual: Floats | None = None) -> Callable[[], None]:
        """``multiply`` with these very arrays, checked once; one call of it at a time.

        Raises
        ------
        ShapeError, FormatError
            As ``multiply`` does.
        """
        images, conv = self._images(x), self.conv
        shape = (images.shape[0], self.shape[0], conv.out_height, conv.out_width)
        beside = None if residual is None else _checked(residual, "residual", shape)
        y = _checked(out, "out", shape)
        others = [array for array in (images, beside) if array is not None]
        in_place = images is x and all(_flat(array) for array in (y, *others))
        if not in_place or not shape[0] or not can_write(y, images, beside, adds_in_place=self.adds_in_place):

            def multiply() -> None:
                self.multiply(x, out=out, residual=residual)

            return multiply
        flat = None if beside is None else _planes(beside)
        return self.ready.bind(_planes(images), _planes(y), self.bias, flat, ACTIVATIONS[self.activation])

    @property
    def adds_in_place(self) -> bool:
        """Whether a convolution writes over its residual as it adds it, without memory besides."""
        return adds_in_place(self.ready)

    def _images(self, x: ArrayLike) -> Floats:
        conv, images = self.conv, np.asarray(x)
        expected = (conv.in_channels, conv.in_height, conv.in_width)
        if images.ndim != 4 or images.shape[1:] != expected:
            sizes = ", ".join(map(str, expected))
            raise ShapeError(f"multiply: expected x of shape (batch, {sizes}), got {images.shape}")
        if images.dtype != np.float32 and images.dtype.itemsize <= 2 and images.dtype.kind not in "iub":
            return images.astype(np.float32)
        return _checked(images, "x", images.shape)


def prepare_conv(
    encoded: Encoded,
    conv: ConvShape,
    *,
    groups: int = 1,
    threads: int = 1,
    kernel: str | None = None,
    bias: ArrayLike | None = None,
    activation: Activation | None = None,
) -> PackedConv:
    """Pack the weights (m, in_channels / groups · kernel height · kernel width) of a convolution.

    Columns go channel by channel, then row by row of the window; rows of all groups are below each other.
    ``kernel`` is "csr", "grouped", "depthwise" or "direct" (all weights, few channels in), for a 1x1
    convolution that is a plain product any of ``kernels()``; without it geometry, shape and density decide.

    Raises
    ------
    ShapeError
        If weights, ``conv``, ``groups`` and ``bias`` do not fit each other.
    UsageError
        If ``threads`` or ``activation`` are out of range.
    UnknownNameError
        If no kernel has that name.
    FormatError
        If float32 cannot hold the weights, or the encoding is damaged.
    """
    if threads < 1:
        raise UsageError(f"prepare_conv: expected threads >= 1, got {threads}")
    check_activation(activation, "prepare_conv")
    check_conv(conv, encoded.shape, groups)
    started = time.perf_counter()
    used, notes = threads_here(threads)
    name, ready, told = pack_conv(encoded, conv, groups, used, kernel)
    return PackedConv(
        shape=encoded.shape,
        conv=conv,
        groups=groups,
        threads=used,
        kernel=name,
        packing_s=time.perf_counter() - started,
        notes=notes + told,
        bias=bias_vector(bias, encoded.shape[0]),
        activation=activation,
        ready=ready,
    )


def _checked(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise ShapeError(f"multiply: expected {name} of shape {shape}, got {array.shape}")
    if array.dtype != np.float32:
        way_out = f" (convert it with {name}.astype(np.float32))" if name != "out" else ""
        raise FormatError(f"multiply: expected {name} of float32, got {array.dtype}{way_out}")
    return array


def _flat(images: NDArray[Any]) -> bool:
    """Whether each plane is contiguous."""
    *_, height, width = images.shape
    return images.strides[2:] == (4 * width, 4) or (height * width == 1)


def _planes(images: NDArray[Any]) -> NDArray[Any]:
    """(batch, channels, pixels), without a copy where planes are contiguous."""
    batch, channels, height, width = images.shape
    if not _flat(images):
        images = np.ascontiguousarray(images)
    return images.reshape(batch, channels, height * width)
