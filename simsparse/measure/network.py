"""A network ready to run on this host: ``load_network(path)``, then ``network.run(inputs)``.

open → fold and join operators → pack the weights of products → lay out memory once → bind every operator to
its arrays. A run then calls one function after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError, ShapeError, UsageError
from simsparse.load.graph import Shape, shape_text
from simsparse.load.onnx_network import open_network
from simsparse.load.onnx_text import clean
from simsparse.measure.graph import Graph, build_graph
from simsparse.measure.graph_attention import join_attention
from simsparse.measure.graph_fold import fold_batch_norms, fold_constants
from simsparse.measure.graph_fuse import join_activations, join_epilogues
from simsparse.measure.graph_mask import mask_dense_layers
from simsparse.measure.graph_products import PRODUCT, find_products
from simsparse.measure.memory import available_bytes
from simsparse.measure.op import Array, Kind, Op, Setting, in_order
from simsparse.measure.ops import build_op
from simsparse.measure.ops_product import Kernels, build_product
from simsparse.measure.plan import Plan, Step, make_plan
from simsparse.packed.arrays import huge_pages

_PASSES = (fold_constants, join_activations, find_products, join_attention, fold_batch_norms, join_epilogues)

Watch = Callable[[str, Array], None]
"""Called with a layer's name and its input, before the layer runs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A step with its arrays, and whether all it does is to look at its input in another shape."""

    step: Step
    call: Callable[[], None]
    is_view: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A network and its memory. One run at a time: runs share the block.

    ``inputs`` are arrays to fill (by name, in order); the values of ``made`` change in every run.
    """

    graph: Graph
    plan: Plan
    steps: tuple[Bound, ...]
    values: dict[str, Any]
    loading_s: float
    step_s: NDArray[np.float64] = field(repr=False)
    """seconds of every step in the last run; 0 of views"""
    masked: tuple[str, ...] = ()
    """layers that run densely, with zeros for the weights that masks removed"""
    _working: tuple[tuple[int, Bound], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        working = tuple((number, bound) for number, bound in enumerate(self.steps) if not bound.is_view)
        object.__setattr__(self, "_working", working)

    @property
    def input_names(self) -> tuple[str, ...]:
        """What a run is given."""
        return self.graph.inputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a run returns."""
        return self.graph.outputs

    @property
    def peak_bytes(self) -> int:
        """Memory of activations at the worst moment of a run, as far as sizes are known beforehand."""
        return self.plan.block_bytes

    def run(self, inputs: Mapping[str, Any], *, watch: Watch | None = None) -> dict[str, Any]:
        """The outputs by name. Times of the steps are in ``step_s`` afterwards.

        Raises
        ------
        ShapeError
            If an input is missing or of another shape than the network was loaded for.
        FormatError
            If an input has another dtype than the network's.
        """
        self._fill(inputs)
        clock, times = time.perf_counter, self.step_s
        with np.errstate(all="ignore"):
            before = clock()
            for number, bound in self._working:
                if watch is not None and bound.step.op.product is not None:
                    watch(bound.step.node.name, self.values[bound.step.inputs[0]])
                    before = clock()
                bound.call()
                after = clock()
                times[number] = after - before
                before = after
        return {name: _own(self.values[name]) for name in self.graph.outputs}

    def _fill(self, inputs: Mapping[str, Any]) -> None:
        unknown = [name for name in inputs if name not in self.graph.inputs]
        missing = [name for name in self.graph.inputs if name not in inputs]
        if unknown or missing:
            wanted = ", ".join(map(clean, self.graph.inputs)) or "none"
            got = ", ".join(map(clean, inputs)) or "none"
            raise ShapeError(f"inputs: expected {wanted}, got {got}")
        for name in self.graph.inputs:
            tensor = self.plan.tensors[name]
            if tensor.array is None:
                self.values[name] = inputs[name]
                continue
            given = np.asarray(inputs[name])
            if given.shape != tensor.array.shape:
                wanted, got = shape_text(tensor.array.shape), shape_text(given.shape)
                raise ShapeError(f"input {clean(name)}: expected shape {wanted}, got {got}")
            if given.dtype != tensor.array.dtype:
                raise FormatError(f"input {clean(name)}: expected {tensor.array.dtype}, got {given.dtype}")
            np.copyto(self.values[name], given)


def _own(value: Any) -> Any:
    return np.array(value) if isinstance(value, np.ndarray) else value


def load_network(
    path: str | Path,
    *,
    batch: int | None = None,
    seq: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
    kernels: Kernels | None = None,
) -> Network:
    """An ONNX file ready to run on this host.

    Parameters
    ----------
    path
        The ``.onnx`` file.
    batch, seq
        Sizes of open dimensions, as `simsparse.load_model` takes them.
    shapes
        Shapes of the inputs instead, by name.
    kernels
        Format, threads and masks of the products.

    Raises
    ------
    FileError
        If the file cannot be read or contradicts itself, or a dimension stays open.
    ShapeError
        If shapes or masks do not fit.
    UnsupportedError
        If nobody implements an operator; all of them are named.
    UsageError
        If the network needs more memory than there is.
    """
    started = time.perf_counter()
    network = open_network(path, batch=batch, seq=seq, shapes=shapes)
    chosen = kernels or Kernels()
    graph, masked = mask_dense_layers(optimise(build_graph(network)), chosen.masks)
    _expect_room(sum(array_bytes(graph, name) for name in graph.constants), str(path), "constants")
    plan = make_plan(graph, lambda setting: _build(setting, chosen))
    _expect_room(plan.block_bytes, str(path), "activations")
    values = _materialise(plan, graph)
    steps = tuple(_bind(step, plan, values) for step in plan.steps)
    times = np.zeros(len(steps))
    seconds = time.perf_counter() - started
    return Network(
        graph=graph,
        plan=plan,
        steps=steps,
        values=values,
        loading_s=seconds,
        step_s=times,
        masked=masked,
    )


def optimise(graph: Graph) -> Graph:
    """The passes in their order; each keeps what the network computes."""
    for change in _PASSES:
        graph = change(graph)
    return graph


def array_bytes(graph: Graph, name: str) -> int:
    """Of a tensor whose shape and dtype are known; 0 of others."""
    shape, dtype = graph.shapes.get(name), graph.dtypes.get(name)
    return 0 if shape is None or dtype is None else int(np.prod(shape, dtype=np.float64)) * dtype.itemsize


def _expect_room(needed: int, where: str, what: str) -> None:
    there = available_bytes()
    if there is not None and needed > there:
        raise UsageError(
            f"{where}: expected to need at most the {there:,} bytes of memory that are free, got {needed:,} "
            f"for {what} (choose a smaller batch or seq)"
        )


def _build(setting: Setting, kernels: Kernels) -> Op:
    return build_product(setting, kernels) if setting.node.type == PRODUCT else build_op(setting)


def _materialise(plan: Plan, graph: Graph) -> dict[str, Any]:
    """The real array of every tensor that has one, views included."""
    block = huge_pages(plan.block_bytes)
    values: dict[str, Any] = {}
    makers = {name: step for step in plan.steps for name in step.outputs if name}
    for name, tensor in plan.tensors.items():
        if tensor.is_constant and name not in makers:
            values[name] = tensor.array
    for name in (*graph.inputs, *makers):
        tensor = plan.tensors[name]
        if tensor.array is None:
            continue
        step = makers.get(name)
        if step is not None and is_alias(step, plan):
            values[name] = step.op.run([values[step.inputs[0]]])
        else:
            assert tensor.place is not None
            part = block[tensor.place.offset : tensor.place.offset + tensor.array.nbytes]
            values[name] = in_order(part.view(tensor.array.dtype), tensor.array.shape, tensor.order)
    return values


def is_alias(step: Step, plan: Plan) -> bool:
    """Whether a step only looks at its input in another shape."""
    if step.op.kind != Kind.VIEW or not step.inputs:
        return False
    source, made = plan.tensors[step.inputs[0]], plan.tensors[step.outputs[0]]
    return source.array is not None and (made.place is source.place)


def _bind(step: Step, plan: Plan, values: dict[str, Any]) -> Bound:
    moving = [name for name in step.inputs if plan.tensors[name].array is None]
    run, names = step.op.run, step.inputs
    if is_alias(step, plan):
        return Bound(step=step, call=_nothing, is_view=True)
    if step.op.kind == Kind.BUFFER and not moving:
        arrays, out = [values[name] for name in names], values[step.outputs[0]]
        if step.op.bind is not None:
            return Bound(step=step, call=step.op.bind(arrays, out))
        return Bound(step=step, call=lambda: run(arrays, out))
    if step.op.kind == Kind.VIEW and not moving:
        source, target = values[names[0]], values[step.outputs[0]]
        return Bound(step=step, call=lambda: np.copyto(target, run([source])))
    return Bound(step=step, call=lambda: _run_free(step, plan, values))


def _nothing() -> None:
    """A view is where its source is."""


def _run_free(step: Step, plan: Plan, values: dict[str, Any]) -> None:
    results = step.op.run([values[name] for name in step.inputs])
    for name, result in zip(step.outputs, results, strict=True):
        if not name:
            continue
        if plan.tensors[name].array is None:
            values[name] = result
        else:
            _put(values[name], result, step)


def _put(target: Array, result: Any, step: Step) -> None:
    made = np.asarray(result)
    if made.shape != target.shape:
        raise ShapeError(
            f"operator {clean(step.node.name)} ({clean(step.node.type)}): expected a result of shape "
            f"{shape_text(target.shape)}, got {shape_text(made.shape)}"
        )
    np.copyto(target, made, casting="unsafe")
