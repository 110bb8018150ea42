"""The tables that tell a kernel where a convolution's windows lie in an image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.ir import ConvShape
from simsparse.kernels.simd import LANES, chosen_isa
from simsparse.packed.arrays import address

SHARED_FLOATS = 1 << 16
"""The stride of smaller images is taken out before a second thread has started."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """A convolution's taps over one channel: see ``kernels.conv_tile`` for the tables."""

    shifts: NDArray[np.int64] | None
    masks: NDArray[np.uint16]
    numbers: NDArray[np.int32]
    ragged: NDArray[np.int32] = field(init=False)
    record: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        taps, vectors = self.masks.shape
        lanes = LANES[chosen_isa()]
        shifts = 0 if self.shifts is None else address(self.shifts)
        ragged = np.zeros((taps, vectors + 1), np.int32)
        np.cumsum(self.masks != (1 << lanes) - 1, axis=1, out=ragged[:, 1:])
        object.__setattr__(self, "ragged", ragged)
        tables = (shifts, address(self.masks), address(self.numbers), address(ragged))
        record = np.array((taps, lanes, vectors * lanes, *tables), np.int64)
        object.__setattr__(self, "record", record)

    @property
    def address(self) -> int:
        """Where kernels find the record."""
        return address(self.record)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the tables."""
        shifts = 0 if self.shifts is None else self.shifts.nbytes
        return self.masks.nbytes + self.numbers.nbytes + self.ragged.nbytes + shifts


def window_of(conv: ConvShape) -> Window:
    """The tables of ``conv`` for this host's vectors; no ``numbers`` where planes are only shifted."""
    lanes = LANES[chosen_isa()]
    positions = conv.out_height * conv.out_width
    padded = -(-positions // lanes) * lanes
    taps = conv.kernel_height * conv.kernel_width
    rows, row_inside = _inputs(conv, axis=0)
    columns, column_inside = _inputs(conv, axis=1)
    inside = np.zeros((taps, padded), np.bool_)
    both = row_inside[:, None, :, None] & column_inside[None, :, None, :]
    inside[:, :positions] = both.reshape(taps, positions)
    powers = 1 << np.arange(lanes)
    masks = (inside.reshape(taps, -1, lanes) * powers).sum(axis=2).astype(np.uint16)
    if is_flat(conv) or is_split(conv):
        return Window(shifts=tap_shifts(conv), masks=masks, numbers=np.empty((0, 0), np.int32))
    numbers = np.zeros((taps, padded), np.int32)
    found = rows[:, None, :, None] * conv.in_width + columns[None, :, None, :]
    numbers[:, :positions] = np.where(both, found, 0).reshape(taps, positions)
    return Window(shifts=None, masks=masks, numbers=numbers)


def _inputs(conv: ConvShape, *, axis: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(taps, outputs) along one axis: the input that a tap sees, and whether it is inside the image."""
    size, out, taps = (
        (conv.in_height, conv.out_height, conv.kernel_height),
        (conv.in_width, conv.out_width, conv.kernel_width),
    )[axis]
    tap = np.arange(taps, dtype=np.int64)[:, None] * conv.dilation[axis]
    place = np.arange(out, dtype=np.int64) * conv.stride[axis] + tap - conv.padding[axis]
    return place, (place >= 0) & (place < size)


def is_flat(conv: ConvShape) -> bool:
    """Whether a tap sees, of each output position, the input at one and the same distance."""
    return conv.stride == (1, 1) and conv.out_width == conv.in_width


def tap_shifts(conv: ConvShape) -> NDArray[np.int64]:
    """(taps,) bytes from the first output's place to its input: ``is_flat`` or, in parts, ``is_split``."""
    rows, columns = _inputs(conv, axis=0)[0][:, None, 0], _inputs(conv, axis=1)[0][None, :, 0]
    if is_flat(conv):
        return 4 * (rows * conv.in_width + columns).reshape(-1)
    part = (rows % 2 * 2 + columns % 2) * part_floats(conv)
    return 4 * (part + rows // 2 * conv.out_width + columns // 2).reshape(-1)


def is_split(conv: ConvShape) -> bool:
    """Whether every second row and column of the image has as many columns as the output."""
    return (
        conv.stride == (2, 2)
        and conv.out_width == -(-conv.in_width // 2)
        and (conv.kernel_height, conv.kernel_width) != (1, 1)
    )


def is_sampled(conv: ConvShape) -> bool:
    """Whether the im2col matrix is the image without some of its rows and every second column at most."""
    taps, stride = (conv.kernel_height, conv.kernel_width), conv.stride
    return taps == (1, 1) and stride != (1, 1) and stride[1] <= 2 and not any(conv.padding)


def sampled(conv: ConvShape) -> ConvShape:
    """The convolution of the pixels that ``conv`` uses, ``is_sampled``."""
    return replace(conv, in_height=conv.out_height, in_width=conv.out_width, stride=(1, 1))


def rearranged_floats(conv: ConvShape) -> tuple[int, int]:
    """Floats of a batch read and written to take the stride out of it; 0 where it stays."""
    images = conv.batch * conv.in_channels
    if is_split(conv):
        part = -(-conv.in_height // 2) * conv.out_width
        return images * conv.in_height * conv.in_width, 4 * images * part
    if is_sampled(conv):
        return images * conv.out_height * conv.in_width, images * conv.out_height * conv.out_width
    return 0, 0


def part_floats(conv: ConvShape) -> int:
    """Floats of one of the four parts of a split plane, and room for two vectors."""
    return -(-conv.in_height // 2) * conv.out_width + 2 * LANES[chosen_isa()]


def is_pointwise(conv: ConvShape) -> bool:
    """Whether the im2col matrix is the image itself."""
    return (
        (conv.kernel_height, conv.kernel_width) == (1, 1) and conv.stride == (1, 1) and not any(conv.padding)
    )


def check_conv(conv: ConvShape, shape: tuple[int, int], groups: int) -> None:
    """Whether weights of this shape and groups can be those of ``conv``.

    Raises
    ------
    ShapeError
        If they cannot, or the output has another size than stride, padding and dilation give.
    """
    m, k = shape
    if groups < 1 or conv.in_channels % groups or m % groups:
        raise ShapeError(
            f"prepare_conv: expected groups that divide {conv.in_channels} channels in and {m} out, "
            f"got {groups}"
        )
    taps = conv.kernel_height * conv.kernel_width
    if k != conv.in_channels // groups * taps:
        raise ShapeError(
            f"prepare_conv: expected weights of shape (m, {conv.in_channels // groups * taps}) for "
            f"{conv.in_channels} channels in {groups} groups and {taps} taps, got {shape}"
        )
    top, left, bottom, right = conv.padding
    sizes = (conv.in_height + top + bottom, conv.in_width + left + right)
    kernel = (conv.kernel_height, conv.kernel_width)
    expected = tuple(
        (size - dilation * (taps - 1) - 1) // stride + 1
        for size, dilation, taps, stride in zip(sizes, conv.dilation, kernel, conv.stride, strict=True)
    )
    if expected != (conv.out_height, conv.out_width):
        raise ShapeError(
            f"prepare_conv: expected an output of {expected[0]}x{expected[1]}, "
            f"got {conv.out_height}x{conv.out_width}"
        )
