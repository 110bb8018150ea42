"""Reading a node's attributes: one function per kind of value, each with its one-line error."""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.errors import ShapeError
from simsparse.load.graph import Attributes, Op, Shape, shape_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A sliding window: one entry per spatial axis; ``begin`` and ``end`` are the padding."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]


def window(op: Op, attributes: Attributes, axes: int) -> Window:
    """The window of a convolution or pooling over ``axes`` spatial axes."""
    kernel = spatial(op, attributes, "kernel", axes)
    stride = spatial(op, attributes, "stride", axes, 1)
    dilation = spatial(op, attributes, "dilation", axes, 1)
    if min(*kernel, *stride, *dilation) < 1:
        raise ShapeError(
            f"{op}: expected kernel, stride and dilation >= 1, "
            f"got {shape_text(kernel)}, {shape_text(stride)}, {shape_text(dilation)}"
        )
    begin, end = padding(op, attributes, axes)
    return Window(kernel=kernel, stride=stride, dilation=dilation, begin=begin, end=end)


def padding(op: Op, attributes: Attributes, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding before and after each spatial axis; one entry per axis serves both sides.

    >>> padding(Op.CONV, {"padding": (1, 2)}, 2), padding(Op.CONV, {"padding": (0, 1, 2, 3)}, 2)
    (((1, 2), (1, 2)), ((0, 1), (2, 3)))
    """
    given = attributes.get("padding", 0)
    sides = 2 * axes if isinstance(given, tuple) and len(given) == 2 * axes else axes
    entries = spatial(op, attributes, "padding", sides, 0)
    if min(entries) < 0:
        raise ShapeError(f"{op}: expected padding >= 0, got {given!r} (crop with slice)")
    return entries[:axes], entries[-axes:]


def spatial(
    op: Op, attributes: Attributes, key: str, axes: int, default: int | None = None
) -> tuple[int, ...]:
    """Attribute ``key`` with one entry per spatial axis; an int serves all axes.

    >>> spatial(Op.CONV, {"stride": 2}, "stride", 2)
    (2, 2)
    """
    value = attributes.get(key, default)
    entries = (value,) * axes if isinstance(value, int) else value
    if not isinstance(entries, tuple) or len(entries) != axes:
        raise ShapeError(f"{op}: expected {axes} whole numbers {key} or one for all, got {value!r}")
    return entries


def integer(op: Op, attributes: Attributes, key: str, default: int | None = None) -> int:
    """The whole number ``key``."""
    value = attributes.get(key, default)
    if not isinstance(value, int):
        raise ShapeError(f"{op}: expected a whole number {key}, got {value!r}")
    return value


def positive(op: Op, attributes: Attributes, key: str, default: int | None = None) -> int:
    """The whole number ``key``, at least 1."""
    value = integer(op, attributes, key, default)
    if value < 1:
        raise ShapeError(f"{op}: expected {key} >= 1, got {value}")
    return value


def integers(op: Op, attributes: Attributes, key: str) -> tuple[int, ...]:
    """The list of whole numbers ``key``."""
    value = attributes.get(key)
    if not isinstance(value, tuple):
        raise ShapeError(f"{op}: expected a list of whole numbers {key}, got {value!r}")
    return value


def axis_of(op: Op, axis: int, rank: int) -> int:
    """``axis`` counted from the front.

    >>> axis_of(Op.CONCAT, -1, 4)
    3
    """
    if not -rank <= axis < rank:
        raise ShapeError(f"{op}: expected an axis from {-rank} to {rank - 1}, got {axis}")
    return axis % rank


def texts(shapes: tuple[Shape, ...]) -> str:
    """Shapes as a person writes them."""
    return ", ".join(shape_text(shape) for shape in shapes) or "nothing"
