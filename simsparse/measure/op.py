"""How an operator runs: what it needs of its inputs' layout, and where its result goes.

Arrays keep the shape that the model gives them; their *order* in memory is free. A product of tokens with
weights makes Y (m, n) with a token per column, so its (batch, tokens, features) result lies in memory
features first: a view, and the next product finds its own X (k, n) in it without a copy. An order lists axes
from slowest to fastest; ``None`` is the usual one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.measure.graph import Graph, Node

Array = NDArray[Any]
Order = tuple[int, ...]
Call = Callable[[], None]
Bind = Callable[[Sequence[Array], Array], Call]


class Kind(StrEnum):
    """What an operator does with memory."""

    VIEW = "view"
    """``run(inputs)`` gives the first input's elements in another shape"""
    BUFFER = "buffer"
    """``run(inputs, out)`` fills ``out``"""
    FREE = "free"
    """``run(inputs)`` makes a list of results of its own"""


class Layout(StrEnum):
    """What an operator may ask of an input."""

    ROWS = "rows"
    """C-contiguous"""
    COLUMNS = "columns"
    """last axis slowest: (…, k) as the matrix X (k, n) with contiguous rows"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Product:
    """What a kernel multiplies: for the report."""

    m: int
    k: int
    n: int
    stored: int
    """weights that are multiplied"""
    stored_bytes: int
    format: str
    kernel: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Op:
    """An operator bound to its constants; ``in_place`` lists inputs that the result may overwrite.

    ``bind(inputs, out)`` gives a call on these very arrays: looking things up in each run can take as long as
    the work, for a large product has just pushed Python's own data out of the caches.
    """

    kind: Kind
    run: Callable[..., Any]
    order: Order | None = None
    needs: Mapping[int, Layout] = field(default_factory=lambda: MappingProxyType({}))
    in_place: tuple[int, ...] = ()
    product: Product | None = None
    bind: Bind | None = None


def bound_op(bind: Bind, **more: Any) -> Op:
    """An operator that fills ``out``, by a call put together once where arrays stay where they are."""

    def run(inputs: Sequence[Array], out: Array) -> None:
        bind(inputs, out)()

    return Op(kind=Kind.BUFFER, run=run, bind=bind, **more)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """What a builder of operators knows: ``inputs`` are the arrays of ``node.reads`` in their true layout.

    Constants hold their values, other arrays only shape and order; ``None`` where not even these are known.
    """

    node: Node
    graph: Graph
    inputs: Sequence[Array | None]
    constant: Sequence[bool]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Of the first output."""
        return self.graph.shapes[self.node.outputs[0]]

    def is_float(self) -> bool:
        """Whether all inputs and the first output are float32 tensors of known shape."""
        known = self.inputs and all(x is not None and x.dtype == np.float32 for x in self.inputs)
        return bool(known) and self.has_out(np.float32)

    def has_out(self, dtype: Any = None) -> bool:
        """Whether shape and dtype of the only output are known (and the dtype is this one)."""
        names = [name for name in self.node.outputs if name]
        if len(names) != 1 or self.node.outputs[0] != names[0] or names[0] not in self.graph.shapes:
            return False
        found = self.graph.dtypes.get(names[0])
        return found is not None and (dtype is None or found == dtype)

    def integers(self, key: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """A list attribute."""
        return tuple(int(number) for number in self.node.attributes.get(key) or default)

    def constant_input(self, index: int) -> Array | None:
        """The value of input ``index`` where it is there and constant."""
        if index >= len(self.node.inputs) or not self.node.inputs[index]:
            return None
        place = self.node.reads.index(self.node.inputs[index])
        return self.inputs[place] if self.constant[place] else None


def order_of(array: Array) -> Order:
    """Axes from slowest to fastest; axes of one element stay where they are."""
    ranked = [axis for axis in range(array.ndim) if array.shape[axis] != 1]
    sorted_axes = iter(sorted(ranked, key=lambda axis: -abs(array.strides[axis])))
    return tuple(next(sorted_axes) if array.shape[axis] != 1 else axis for axis in range(array.ndim))


def in_order(flat: Array, shape: Sequence[int], order: Order | None) -> Array:
    """A flat array as an array of ``shape`` whose axes lie in memory as ``order`` says."""
    if order is None:
        return flat.reshape(shape)
    placed = flat.reshape([shape[axis] for axis in order])
    return placed.transpose(np.argsort(order))
