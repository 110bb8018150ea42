"""The plan of a network: every operator, the layout of every tensor, and one block of memory for all of them.

Shapes are known before anything runs, so are the lifetimes of tensors: two that never live at the same time
share their place, and the peak is known. What depends on values (the positions that NonZero finds) is made in
each run and lies outside the block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simsparse.errors import UnsupportedError
from simsparse.measure.graph import Graph, Node
from simsparse.measure.op import Array, Kind, Layout, Op, Order, Setting, in_order, order_of
from simsparse.measure.ops_copy import copy_into

Builder = Callable[[Setting], Op]
ALIGNMENT = 64


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """A part of the block: its size, and the first and last step that needs it."""

    size: int
    first: int
    last: int
    offset: int = -1
    fixed: bool = False
    """no step may overwrite it: an input or output of the network"""


@dataclass(slots=True, kw_only=True, eq=False)
class Tensor:
    """What is known of a tensor: ``array`` has its shape, dtype and order; a constant's has its values.

    ``place`` is None for constants and for what is made anew in each run, whose ``array`` is None, too.
    """

    array: Array | None
    place: Place | None = None
    order: Order | None = None
    is_constant: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Step:
    """An operator at its turn, with the names of the tensors it reads and makes."""

    node: Node
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Plan:
    """Steps in order, all tensors, and the size of the block that holds those with a place."""

    steps: list[Step] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    block_bytes: int = 0

    @property
    def constant_bytes(self) -> int:
        """Of the constants that steps read as they are; packed weights come on top."""
        used = {name for step in self.steps for name in step.inputs if self.tensors[name].is_constant}
        arrays = [self.tensors[name].array for name in used]
        return sum(array.nbytes for array in arrays if array is not None)


def make_plan(graph: Graph, build: Builder) -> Plan:
    """Bind every node to an operator and lay out memory.

    Raises
    ------
    UnsupportedError
        If nobody implements one of the operators; all of them are named.
    """
    planner = _Planner(graph, build)
    for name in graph.inputs:
        planner.add_input(name)
    refused: list[str] = []
    for node in graph.nodes:
        try:
            planner.add(node)
        except UnsupportedError as error:
            refused.append(str(error))
            planner.forget(node)
    if refused:
        raise UnsupportedError(f"nobody implements {', '.join(dict.fromkeys(refused))}")
    for name in graph.outputs:
        planner.keep(name)
    overwrite(planner.plan)
    planner.plan.block_bytes = place_all(_places(planner.plan))
    return planner.plan


def _places(plan: Plan) -> list[Place]:
    found = {id(t.place): t.place for t in plan.tensors.values() if t.place is not None}
    return list(found.values())


class _Planner:
    def __init__(self, graph: Graph, build: Builder) -> None:
        self.graph, self.build, self.plan = graph, build, Plan()

    def add_input(self, name: str) -> None:
        shape, dtype = self.graph.shapes.get(name), self.graph.dtypes.get(name)
        if shape is None or dtype is None or dtype.hasobject:
            self.plan.tensors[name] = Tensor(array=None)
            return
        self.plan.tensors[name] = self.new_tensor(shape, dtype, None, step=0, fixed=True)

    def new_tensor(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        order: Order | None,
        *,
        step: int,
        fixed: bool = False,
    ) -> Tensor:
        """One with a place of its own; the memory behind the placeholder is never touched."""
        size = math.prod(shape)
        array = in_order(np.empty(size, dtype), shape, order)
        place = Place(size=size * dtype.itemsize, first=step, last=step, fixed=fixed)
        return Tensor(array=array, place=place, order=order)

    def tensor(self, name: str) -> Tensor:
        if name not in self.plan.tensors:
            self.plan.tensors[name] = Tensor(array=self.graph.constants[name], is_constant=True)
        return self.plan.tensors[name]

    def add(self, node: Node) -> None:
        names = list(node.reads)
        tensors = [self.tensor(name) for name in names]
        setting = Setting(
            node=node,
            graph=self.graph,
            inputs=[tensor.array for tensor in tensors],
            constant=[tensor.is_constant for tensor in tensors],
        )
        op = self.build(setting)
        for index, layout in op.needs.items():
            names[index] = self.laid_out(names[index], layout)
        self.append(node, op, tuple(names), node.outputs)

    def laid_out(self, name: str, layout: Layout) -> str:
        """``name`` or, where it lies otherwise, a copy in the wanted layout, made once for all who ask."""
        tensor = self.tensor(name)
        array = tensor.array
        assert array is not None
        order = (array.ndim - 1, *range(array.ndim - 1)) if layout == Layout.COLUMNS else None
        if _lies(array, order):
            return name
        made = f"{name}\0{layout}"
        if made not in self.plan.tensors and tensor.is_constant:
            held = in_order(np.empty(array.size, array.dtype), array.shape, order)
            held[...] = array
            self.plan.tensors[made] = Tensor(array=held, is_constant=True)
        elif made not in self.plan.tensors:
            node = Node(name=name, type="Layout", inputs=(name,), outputs=(made,))
            op = Op(kind=Kind.BUFFER, run=copy_into, order=order)
            self.append(node, op, (name,), (made,), array.shape, array.dtype)
        return made

    def append(
        self,
        node: Node,
        op: Op,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        shape: Sequence[int] | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        step = len(self.plan.steps)
        self.plan.steps.append(Step(node=node, op=op, inputs=inputs, outputs=outputs))
        for name in inputs:
            place = self.plan.tensors[name].place
            if place is not None:
                place.last = step
        for name in filter(None, outputs):
            self.plan.tensors[name] = self.result(name, op, inputs, step, shape, dtype)

    def result(
        self,
        name: str,
        op: Op,
        inputs: tuple[str, ...],
        step: int,
        shape: Sequence[int] | None,
        dtype: np.dtype[Any] | None,
    ) -> Tensor:
        source = self.plan.tensors[inputs[0]] if inputs else None
        if op.kind == Kind.VIEW and source is not None and source.array is not None:
            view = op.run([source.array])
            if np.may_share_memory(view, source.array) or not view.size:
                return Tensor(array=view, place=source.place, is_constant=source.is_constant)
            return self.new_tensor(view.shape, view.dtype, None, step=step)
        shape = self.graph.shapes.get(name) if shape is None else shape
        dtype = self.graph.dtypes.get(name) if dtype is None else dtype
        if shape is None or dtype is None or dtype.hasobject:
            return Tensor(array=None)
        return self.new_tensor(shape, dtype, op.order, step=step)

    def forget(self, node: Node) -> None:
        """Go on after a node that nobody implements, to name all of these at once."""
        for name in filter(None, node.outputs):
            self.plan.tensors[name] = Tensor(array=None)

    def keep(self, name: str) -> None:
        """An output of the network lives to the end."""
        place = self.tensor(name).place
        if place is not None:
            place.last, place.fixed = len(self.plan.steps), True


def _lies(array: Array, order: Order | None) -> bool:
    placed = array if order is None else array.transpose(order)
    return bool(placed.flags.c_contiguous)


def overwrite(plan: Plan) -> None:
    """Let results take the place of an input that nobody needs afterwards, where the operator can do that."""
    for number, step in enumerate(plan.steps):
        made = plan.tensors[step.outputs[0]] if step.outputs and step.op.in_place else None
        if made is None or made.place is None or made.array is None:
            continue
        for index in step.op.in_place:
            source = plan.tensors[step.inputs[index]]
            if _can_replace(source, made, number, step, plan, index):
                _take_over(plan, made.place, source.place)
                break


def _can_replace(source: Tensor, made: Tensor, number: int, step: Step, plan: Plan, index: int) -> bool:
    old, new = source.place, made.place
    if old is None or new is None or source.array is None or made.array is None:
        return False
    others = [plan.tensors[name].place for at, name in enumerate(step.inputs) if at != index]
    same = source.array.strides == made.array.strides and source.array.nbytes == old.size == new.size
    return same and old.last == number and not old.fixed and all(place is not old for place in others)


def _take_over(plan: Plan, new: Place, old: Place | None) -> None:
    assert old is not None
    old.last, old.fixed = max(old.last, new.last), old.fixed or new.fixed
    for tensor in plan.tensors.values():
        if tensor.place is new:
            tensor.place = old


def place_all(places: Sequence[Place]) -> int:
    """Give every place an offset, the largest first, each as low as those that live beside it allow.

    Returns the size of the block.
    """
    done: list[Place] = []
    for place in sorted(places, key=lambda place: (-place.size, place.first)):
        beside = [other for other in done if other.first <= place.last and place.first <= other.last]
        place.offset = 0
        for other in sorted(beside, key=lambda other: other.offset):
            if place.offset + place.size <= other.offset:
                break
            place.offset = max(place.offset, _up(other.offset + other.size))
        done.append(place)
    return max((place.offset + place.size for place in places), default=0)


def _up(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def is_static(plan: Plan, names: Sequence[str]) -> bool:
    """Whether all of these tensors lie where they always lie."""
    return all(plan.tensors[name].array is not None for name in names if name)


__all__ = ["Place", "Plan", "Step", "Tensor", "is_static", "make_plan", "order_of", "place_all"]
