"""BERT as PyTorch runs it operator by operator: nothing is fused, and heads are copied into place.

`torch.matmul` wants its batched operands side by side, so queries, keys and values of a head are copied out
of their rows; keys are transposed on the way. The scores are scaled and masked in passes of their own. Under
autocast weights and activations are cast for every product, while normalisation, softmax and the residual
stream stay in fp32.

Source: Hugging Face transformers, BertSelfAttention and BertLayer (attention without a fused kernel);
PyTorch, autocast op reference (fp16: matmul, linear; fp32: softmax, layer_norm; widest of both: add).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from simsparse.ir import Layer, LayerKind

_CAST_FIRST = ("attention.query", "attention.key", "attention.value", "intermediate")
"""Linear layers whose input is the fp32 residual stream under autocast."""
_FP32 = ("attention.softmax", "attention.norm", "output.norm")
_CONVERTING = 50
"""Instructions per value of an element-wise kernel that converts as it loads and stores and works out the
place of every value: read off the structure of PyTorch's loops (dynamic casting), not counted; assumed.
"""
_RESIDUAL = ("attention.add", "output.add")


def eager(layers: Iterable[Layer], *, autocast: bool = False) -> list[Layer]:
    """The operators that run for the layers of an encoder, in values of 16 bits; fp32 values count twice."""
    return [made for layer in layers for made in _as_run(layer, autocast)]


def _as_run(layer: Layer, autocast: bool) -> Iterator[Layer]:
    part = layer.name.removeprefix("encoder.")
    if autocast and part in _CAST_FIRST:
        yield _mixed(_pass(layer, "cast", 2 * layer.input_elements, layer.input_elements))
    if part == "attention.scores":
        queries, keys = layer.k * layer.n * layer.groups, layer.m * layer.k
        yield _pass(layer, "queries", queries, queries)
        yield replace(_pass(layer, "keys", keys, keys), transposes=True)
        yield layer
        scores = layer.output_elements
        yield _pass(layer, "scale", scores, scores)
        masked = _pass(layer, "mask", scores, 2 * scores if autocast else scores)
        yield _mixed(masked) if autocast else masked
    elif part == "attention.context":
        values, scores = layer.m * layer.k, layer.k * layer.n * layer.groups
        if autocast:
            yield _mixed(_pass(layer, "cast", 2 * scores, scores))
        yield _pass(layer, "values", values, values)
        yield layer
        yield _pass(layer, "merge", layer.output_elements, layer.output_elements)
    elif autocast and part in _FP32:
        yield replace(
            layer, input_elements=2 * layer.input_elements, output_elements=2 * layer.output_elements
        )
    elif autocast and part in _RESIDUAL:  # one operand is a product's fp16 output, the other the stream
        wider = 3 * layer.input_elements // 2
        yield _mixed(replace(layer, input_elements=wider, output_elements=2 * layer.output_elements))
    else:
        yield layer


def _mixed(layer: Layer) -> Layer:
    """A pass whose operands differ in dtype: values are converted one by one, each through a switch."""
    values = min(layer.input_elements, layer.output_elements)
    return replace(layer, kind=LayerKind.ELEMENTWISE, operations=_CONVERTING * values)


def _pass(layer: Layer, name: str, read: int, written: int) -> Layer:
    return Layer(
        name=f"{layer.name}.{name}",
        kind=LayerKind.MOVEMENT,
        count=layer.count,
        input_elements=read,
        output_elements=written,
    )
