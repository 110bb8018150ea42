"""A checkpoint without its network: every matrix in it is taken as a linear layer, in the order of the file.

What a file of tensors does not say is how they are used. A matrix (out, in) is a linear layer that meets
``batch`` × ``seq`` tokens; tables that are looked up are no products; a convolution needs the size of its
image, which is nowhere in the file, so it is listed as not simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from simsparse.errors import UnsupportedError
from simsparse.ir import Layer, Unsupported, Workload, gemm_layer
from simsparse.load.files.tensor_pairs import join_pairs
from simsparse.load.files.tensor_source import FileWeights, TensorSource
from simsparse.load.graph import shape_text
from simsparse.load.onnx_text import UniqueNames, clean

DEFAULT_TOKENS = 128
_WEIGHT = ".weight"
_LOOKED_UP = ("embed", "wte", "wpe", "position", "token_type", "relative_attention_bias")
_ABOUT_WEIGHTS = ("_scale", "_scale_inv", "_zero_point", ".scale", ".zeros", ".absmax", "_g_idx", "_mask")
_IMAGE_AXES = (3, 4, 5)


def checkpoint_workload(
    tensors: Mapping[str, TensorSource],
    path: Path,
    *,
    batch: int | None = None,
    seq: int | None = None,
    kind: str = "safetensors",
) -> Workload:
    """The linear layers of a checkpoint.

    Parameters
    ----------
    tensors
        By name, in the order of the model.
    batch, seq
        Their product is the n of each layer; 1 and ``DEFAULT_TOKENS`` where they are not given, with a note.

    Raises
    ------
    FileError
        If tensors that belong together do not fit.
    UnsupportedError
        If there is no matrix; the message names what there is.
    """
    joined = join_pairs(tensors)
    tokens = (batch or 1) * (seq or DEFAULT_TOKENS)
    names = UniqueNames()
    layers: list[Layer] = []
    sources: dict[str, TensorSource] = {}
    tables, refused = [], []
    for name, tensor in joined.items():
        match _role(name, tensor):
            case "matrix":
                m, k = tensor.shape
                layer = gemm_layer(names.make(clean(name.removesuffix(_WEIGHT))), m, k, tokens)
                layers.append(layer)
                sources[layer.name] = tensor
            case "table":
                tables.append(clean(name))
            case "other":
                refused.append(Unsupported(name=clean(name), reason=_reason(tensor)))
    if not layers:
        found = f"{refused[0].name}: {refused[0].reason}" if refused else "no weight of two axes"
        raise UnsupportedError(f"{clean(str(path))}: expected a matrix of weights, got none; {found}")
    return Workload(
        name=clean(path.name.split(".")[0] or path.name),
        layers=tuple(layers),
        source=f"{kind} file {clean(path.name)}",
        batch=batch or 1,
        weights=FileWeights(sources, {layer.name: (layer.m, layer.k) for layer in layers}),
        unsupported=tuple(refused),
        notes=tuple(_notes(tokens, seq, tables)),
    )


def _role(name: str, tensor: TensorSource) -> str:
    """``matrix``, ``table``, ``other`` (weights that cannot be simulated), or nothing."""
    shape = tensor.shape
    if len(shape) < 2 or not math.prod(shape) or name.endswith(_ABOUT_WEIGHTS):
        return ""
    if any(word in name.lower() for word in _LOOKED_UP) and len(shape) == 2:
        return "table"
    if len(shape) == 2 and shape[0] > 1 and shape[1] > 1:
        return "matrix"
    return "other" if name.endswith(_WEIGHT) and math.prod(shape[1:]) > 1 and shape[0] > 1 else ""


def _reason(tensor: TensorSource) -> str:
    shape = shape_text(tensor.shape)
    if len(tensor.shape) in _IMAGE_AXES:
        return (
            f"weights {shape} of a convolution, whose image size is not in the file"
            " (give the .onnx, or a workload .yaml)"
        )
    return f"weights of shape {shape}, expected two axes"


def _notes(tokens: int, seq: int | None, tables: list[str]) -> Iterator[str]:
    given = "" if seq else " (assumed; --seq sets it)"
    yield f"each matrix (out, in) of the file is taken as a linear layer that meets {tokens} tokens{given}"
    if tables:
        first = ", ".join(tables[:3])
        yield f"{len(tables)} tables are looked up, not multiplied, and left out: {first}"
