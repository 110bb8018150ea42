"""Weights of a checkpoint for a model whose layers are known: ``resnet50@pruned.safetensors``.

A checkpoint says what the weights are, a workload says what is computed with them; neither says which
belongs to which. A tensor goes to the layer of its name where the shapes agree; what is left goes by shape,
in the order of both, where as many layers as tensors have it. Anything else would be a guess and is refused.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simsparse.errors import FileError
from simsparse.ir import Layer, Workload
from simsparse.load.files.open_file import read_tensors
from simsparse.load.files.tensor_pairs import join_pairs
from simsparse.load.files.tensor_source import FileWeights, Shape, TensorSource
from simsparse.load.graph import shape_text
from simsparse.load.onnx_text import clean

_WEIGHT = ".weight"
_WRAPPERS = ("module.", "model.", "backbone.")
_INNER = ".0"  # a convolution followed by its norm in one container
_MISTAKES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """Tensors by layer, and how many of them only shape and order told apart."""

    sources: dict[str, TensorSource]
    by_order: int
    unused: int


def with_checkpoint(workload: Workload, path: str | Path) -> Workload:
    """``workload`` with the weights of the checkpoint at ``path`` in every layer that holds weights.

    Parameters
    ----------
    workload
        Its layers with weights need an entry each; layers that stand for several (``count`` > 1) cannot be
        told apart by a file and are refused.
    path
        ``.safetensors``, its index of shards, or ``.pt``; pruning pairs and compressed matrices are joined.

    Raises
    ------
    FileError
        If the file is damaged, or layers find no tensor; up to ten of them at once.
    """
    path = Path(path)
    where = clean(str(path))
    layers = [layer for layer in workload.layers if layer.kind.has_weights]
    repeated = [layer for layer in layers if layer.count > 1]
    if repeated:
        first = repeated[0]
        got = f"{first.count} equal layers in one, {first.name} of {workload.name}"
        raise FileError([f"{where}: expected a model of single layers, got {got} (give its .onnx or folder)"])
    match = _matched(layers, join_pairs(read_tensors(path)), where)
    notes = _notes(path, match, len(layers))
    return replace(
        workload,
        source=f"{workload.source}, weights of {clean(path.name)}",
        weights=FileWeights(match.sources, {layer.name: (layer.m, layer.k) for layer in layers}),
        notes=(*workload.notes, *notes),
    )


def _matched(layers: Iterable[Layer], tensors: Mapping[str, TensorSource], where: str) -> _Match:
    free = {name: tensor for name, tensor in tensors.items() if _is_weight(name, tensor)}
    named: dict[str, list[str]] = defaultdict(list)
    for name in free:
        for key in _keys(name):
            named[key].append(name)
    sources: dict[str, TensorSource] = {}
    left: list[Layer] = []
    for layer in layers:
        fitting = [
            name for name in named[_plain(layer.name)] if name in free and _fits(free[name].shape, layer)
        ]
        if len(fitting) == 1:
            sources[layer.name] = free.pop(fitting[0])
        else:
            left.append(layer)
    by_order = dict(_in_order(left, free, where))
    return _Match(sources=sources | by_order, by_order=len(by_order), unused=len(free) - len(by_order))


def _in_order(
    layers: list[Layer], tensors: Mapping[str, TensorSource], where: str
) -> Iterator[tuple[str, TensorSource]]:
    """Layers and tensors of equal shape in the order of both.

    Raises
    ------
    FileError
        If they are not equally many.
    """
    alike: dict[tuple[int, int, Shape], list[Layer]] = defaultdict(list)
    for layer in layers:
        alike[layer.m, layer.k, _kernel(layer)].append(layer)
    mistakes = []
    for group in alike.values():
        found = [tensor for tensor in tensors.values() if _fits(tensor.shape, group[0])]
        if len(found) == len(group):
            yield from ((layer.name, tensor) for layer, tensor in zip(group, found, strict=True))
        else:
            mistakes += [_mistake(where, layer, len(group), len(found)) for layer in group]
    if mistakes:
        raise FileError(mistakes[:_MISTAKES_SHOWN])


def _mistake(where: str, layer: Layer, wanted: int, found: int) -> str:
    shape = shape_text((layer.m, layer.k // math.prod(_kernel(layer)), *_kernel(layer)))
    expected = f"{wanted} tensors" if wanted > 1 else "a tensor"
    got = f"{found} of them" if found else "none"
    out = f"is this a checkpoint of the model? name the tensor {layer.name}{_WEIGHT}"
    return f"{where}: layer {layer.name}: expected {expected} of shape {shape}, got {got} ({out})"


def _kernel(layer: Layer) -> Shape:
    return () if layer.conv is None else (layer.conv.kernel_height, layer.conv.kernel_width)


def _fits(shape: Shape, layer: Layer) -> bool:
    """Whether a tensor (m, k), or (m, channels, kernel height, kernel width), is this layer's matrix."""
    if len(shape) == 2:
        return shape == (layer.m, layer.k)
    kernel = _kernel(layer) or (1,) * (len(shape) - 2)
    return shape[0] == layer.m and shape[2:] == kernel and math.prod(shape[1:]) == layer.k


def _is_weight(name: str, tensor: TensorSource) -> bool:
    return name.endswith(_WEIGHT) and len(tensor.shape) >= 2


def _keys(name: str) -> set[str]:
    """What a layer of this tensor may be called."""
    plain = _plain(name.removesuffix(_WEIGHT))
    for wrapper in _WRAPPERS:
        plain = plain.removeprefix(wrapper)
    return {plain, plain.removesuffix(_INNER)}


def _plain(name: str) -> str:
    return name.lower().replace("/", ".")


def _notes(path: Path, match: _Match, layers: int) -> Iterator[str]:
    named = layers - match.by_order
    told = f"{named} by name, {match.by_order} by shape and order"
    left = f"; {match.unused} tensors of the file have no layer" if match.unused else ""
    yield f"weights of {layers} layers are those of {clean(path.name)}: {told}{left}"
