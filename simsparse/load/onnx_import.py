"""An ONNX file as a workload: ``load_onnx(path)``.

open (safely) → set the open sizes → infer shapes → translate operators to the graph that workload files
become, too → lower. What cannot be simulated is listed with its share of the multiply-adds, never dropped in
silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simsparse.errors import ShapeError, UnsupportedError
from simsparse.ir import Workload
from simsparse.load.graph import Graph, TensorSpec, make_graph
from simsparse.load.lower import lower
from simsparse.load.onnx_builder import GraphBuilder, Operator, RefusedError
from simsparse.load.onnx_dims import Sizes, set_input_sizes
from simsparse.load.onnx_file import OnnxFile, open_onnx
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN, fuse
from simsparse.load.onnx_ops import FUNCTIONS, OPERATORS
from simsparse.load.onnx_order import raise_mistakes, reads
from simsparse.load.onnx_products import PRODUCTS
from simsparse.load.onnx_refused import listed, macs_of, reason_for
from simsparse.load.onnx_shapes import TensorTypes, infer_types
from simsparse.load.onnx_tensors import held_tensor
from simsparse.load.onnx_text import clean
from simsparse.load.onnx_weights import OnnxWeights, Recipe

Proto = Any
Refused = list[tuple[Operator, str, int]]


def load_onnx(path: str | Path, *, batch: int | None = None, seq: int | None = None) -> Workload:
    """The layers of an ONNX model, with its weights read when they are asked for.

    Parameters
    ----------
    path : str or Path
        The ``.onnx`` file; external data lies in its folder.
    batch : int, optional
        Size of an open batch dimension, by default 1.
    seq : int, optional
        Size of open sequence dimensions, in tokens.

    Returns
    -------
    Workload
        One layer per operator that does something, named like it; ``weights`` has an ``(m, k)`` array for
        each layer whose weights the file holds.

    Raises
    ------
    FileError
        If the file cannot be read or contradicts itself, or a dimension stays open.
    UsageError
        If ``batch`` or ``seq`` cannot be used with this file.
    UnsupportedError
        If nothing in the model can be simulated.
    """
    sizes = Sizes(batch=batch, seq=seq)
    file = open_onnx(path)
    model_batch, notes = set_input_sizes(file.inputs, sizes, str(path))
    types = infer_types(file)
    constants = file.tensors.keys() | types.values.keys()
    protos = fuse(needed(types.nodes, file.outputs), constants, types.shapes, frozenset(file.outputs))
    builder = _builder(file, types, protos)
    refused = _translate(builder, protos, types, str(path))
    graph = _graph(file, builder, model_batch, (*notes, *_notes(builder)))
    simulated = lower(graph)
    if not any(layer.kind.is_product for layer in simulated.layers):
        raise UnsupportedError(_nothing(str(path), refused))
    return replace(
        simulated, weights=OnnxWeights(builder.weights), unsupported=listed(refused, simulated.macs)
    )


def needed(nodes: Sequence[Proto], outputs: Sequence[str]) -> list[Proto]:
    """The operators that lead to an output, in order; the rest never runs."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in wanted for name in node.output) or not outputs:
            wanted.update(reads(node))
            kept.append(node)
    return kept[::-1]


def _builder(file: OnnxFile, types: TensorTypes, protos: Sequence[Proto]) -> GraphBuilder:
    recipes = {name: Recipe(source=stored) for name, stored in file.tensors.items()}
    for name in types.values.keys() - recipes.keys():
        recipes[name] = Recipe(source=held_tensor(name, types.values[name], file.path))
    builder = GraphBuilder(types.shapes, recipes, types.values, protos, file.outputs)
    for value in file.inputs:
        if value.name in types.shapes and min(types.shapes[value.name], default=1) > 0:
            builder.read(value.name)
    return builder


def _translate(builder: GraphBuilder, protos: Sequence[Proto], types: TensorTypes, path: str) -> Refused:
    """Translate all operators; returns those that are not simulated."""
    operators = [builder.operator(proto, index) for index, proto in enumerate(protos)]
    refused: Refused = []
    mistakes: list[str] = []
    for proto, operator in zip(protos, operators, strict=True):
        if builder.fold_constant(proto):
            continue
        try:
            _translate_one(builder, operator)
        except RefusedError as error:
            refused.append((operator, str(error), macs_of(operator, types.shapes)))
        except ShapeError as error:
            mistakes.append(f"{path}: {clean(str(error))} (export the model again)")
    raise_mistakes(mistakes)
    return refused


def _translate_one(builder: GraphBuilder, operator: Operator) -> None:
    if operator.is_standard:
        translate = PRODUCTS.get(operator.type) or OPERATORS.get(operator.type)
    else:
        translate = FUNCTIONS.get(operator.type) if operator.domain == FUNCTION_DOMAIN else None
    if translate is None or not operator.outputs:
        raise RefusedError(reason_for(operator))
    translate(builder, operator)


def _graph(file: OnnxFile, builder: GraphBuilder, batch: int, notes: tuple[str, ...]) -> Graph:
    inputs: dict[str, TensorSpec] = builder.inputs
    made = {node.output for node in builder.nodes} | set(inputs)
    outputs = tuple(name for name in file.outputs if name in made)
    return make_graph(
        clean(file.path.stem),
        source=f"ONNX file {clean(file.path.name)}",
        inputs=inputs,
        nodes=tuple(builder.nodes),
        outputs=outputs,
        batch=batch,
        notes=notes,
    )


def _notes(builder: GraphBuilder) -> tuple[str, ...]:
    notes = []
    if builder.computed_weights:
        first = ", ".join(builder.computed_weights[:3])
        count = len(builder.computed_weights)
        notes.append(f"{count} layers compute their weights inside the model and get seeded ones: {first}")
    if builder.free_transposes:
        notes.append(f"{builder.free_transposes} transpositions are free: the products beside them do them")
    return tuple(notes)


def _nothing(path: str, refused: Refused) -> str:
    why = f"; {refused[0][0].name}: {refused[0][1]}" if refused else ""
    return f"{path}: expected a model with a matrix product that can be simulated, got none{why}"
