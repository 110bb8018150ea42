"""Weights of an ONNX model as ``(m, k)`` arrays, made one at a time when asked for.

A weight may reach its operator through operators on constants: a transposition, a cast, the dequantisation of
8-bit values. These steps are remembered and redone on the values when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.ir import WeightArray
from simsparse.load.onnx_constants import Stored
from simsparse.load.onnx_fold import attribute_values
from simsparse.load.onnx_tensors import StoredTensor
from simsparse.load.onnx_text import clean

Proto = Any
Array = NDArray[Any]

MAX_SPARSE_ELEMENTS = 2**28  # a sparse tensor declares its dense size without holding the bytes
_VIEW_OPERATORS = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Quantisation parameters along ``axis``; ``block`` values share one, 0 for one per index."""

    scale: Stored
    zero_point: Stored | None = None
    axis: int = 1
    block: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operator on a constant; the field that is set says which."""

    reshape: tuple[int, ...] | None = None
    transpose: tuple[int, ...] | None = None
    cast: int | None = None
    dequantize: Scale | None = None
    factor: float | None = None

    def apply(self, values: Array) -> Array:
        """``values`` after the step."""
        if self.reshape is not None:
            return values.reshape(self.reshape)
        if self.transpose is not None:
            return values.transpose(self.transpose)
        if self.cast is not None:
            from onnx import helper

            return values.astype(helper.tensor_dtype_to_np_dtype(self.cast))
        if self.dequantize is not None:
            return _dequantized(values, self.dequantize)
        return values * np.float32(1.0 if self.factor is None else self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A stored tensor and the steps that make a weight of it."""

    source: Stored
    steps: tuple[Step, ...] = ()

    def then(self, *steps: Step) -> Recipe:
        """This recipe with more steps at the end."""
        return replace(self, steps=(*self.steps, *steps))

    def make(self) -> WeightArray:
        """The values, C-contiguous, in float32 (float64 where the model has that).

        Raises
        ------
        FileError
            If the values are not numbers, or do not fit the steps.
        """
        values = _read(self.source)
        try:
            for step in self.steps:
                values = step.apply(values)
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise self._mistake(f"values that fit their operators, got: {clean(str(error))}") from None
        if values.dtype.kind not in "iufV":  # V: bfloat16 and 8-bit floats
            raise self._mistake(f"real numbers, got {values.dtype}")
        return np.ascontiguousarray(values, dtype=np.float64 if values.dtype == np.float64 else np.float32)

    @property
    def _name(self) -> str:
        return self.source.name if isinstance(self.source, StoredTensor) else self.source.values.name

    def _mistake(self, rest: str) -> FileError:
        path = self.source.path if isinstance(self.source, StoredTensor) else self.source.values.path
        return FileError([f"{path}: tensor {clean(self._name)}: expected {rest} (export the model again)"])


class OnnxWeights(Mapping[str, WeightArray]):
    """Layer name → ``(m, k)`` array, read from the file at each access and not kept."""

    def __init__(self, recipes: Mapping[str, Recipe]) -> None:
        self._recipes = dict(recipes)

    def __getitem__(self, name: str) -> WeightArray:
        return self._recipes[name].make()

    def __contains__(self, name: object) -> bool:
        return name in self._recipes

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)


def derive(
    node: Proto, recipes: Mapping[str, Recipe], shapes: Mapping[str, tuple[int, ...]]
) -> Recipe | None:
    """The recipe of what ``node`` makes of constants, or ``None`` if its values are not followed."""
    source = recipes.get(node.input[0]) if node.input else None
    if source is None or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    shape = shapes.get(node.output[0])
    values = attribute_values(node)
    if node.op_type in _VIEW_OPERATORS and shape is not None:
        return source.then(Step(reshape=shape))
    match node.op_type:
        case "Transpose":
            axes = values.get("perm") or tuple(range(len(shapes.get(node.input[0], ()))))[::-1]
            return source.then(Step(transpose=axes))
        case "Cast":
            return source.then(Step(cast=values.get("to", 1)))
        case "DequantizeLinear":
            scale = _scale(node, values, recipes)
            return source.then(Step(dequantize=scale)) if scale else None
    return None


def _scale(node: Proto, values: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> Scale | None:
    """Quantisation parameters that are plain constants."""
    found = [recipes.get(name) for name in node.input[1:]]
    if not found or any(recipe is None or recipe.steps for recipe in found):
        return None
    parts = [recipe.source for recipe in found if recipe is not None]
    zero_point = parts[1] if len(parts) > 1 else None
    return Scale(
        scale=parts[0], zero_point=zero_point, axis=values.get("axis", 1), block=values.get("block_size", 0)
    )


def _dequantized(values: Array, scale: Scale) -> Array:
    """``(x − zero_point) · scale`` per tensor, per index of an axis, or per block of one."""
    factors = _read(scale.scale).astype(np.float32)
    zeros = (
        np.zeros(1, np.float32) if scale.zero_point is None else _read(scale.zero_point).astype(np.float32)
    )
    return (values.astype(np.float32) - _spread(zeros, values.shape, scale)) * _spread(
        factors, values.shape, scale
    )


def _spread(parameters: Array, shape: Sequence[int], scale: Scale) -> Array:
    """``parameters`` in a shape that broadcasts to ``shape`` without making it larger."""
    if parameters.size == 1:
        return parameters.reshape(())
    axis = scale.axis % len(shape)
    if not scale.block and parameters.size == shape[axis]:
        return parameters.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    blocks = [
        -(-size // scale.block) if index == axis and scale.block else size for index, size in enumerate(shape)
    ]
    if not 0 < scale.block <= shape[axis] or list(parameters.shape) != blocks:
        raise ValueError(f"quantisation parameters {parameters.shape} do not fit values {tuple(shape)}")
    return np.repeat(parameters, scale.block, axis=axis)[tuple(slice(size) for size in shape)]


def _read(stored: Stored) -> Array:
    if isinstance(stored, StoredTensor):
        return stored.read()
    elements = math.prod(stored.shape)
    indices = stored.indices.read().astype(np.int64)
    where = f"{stored.values.path}: sparse tensor {clean(stored.values.name)}"
    if elements > MAX_SPARSE_ELEMENTS:
        raise FileError(
            [f"{where}: expected at most {MAX_SPARSE_ELEMENTS:,} elements, got {elements:,} (split it)"]
        )
    sizes = np.array(stored.shape if indices.ndim == 2 else [elements])
    if indices.size and ((indices < 0).any() or (indices.reshape(len(indices), -1) >= sizes).any()):
        raise FileError(
            [f"{where}: expected positions inside {stored.shape}, got others (export the model again)"]
        )
    flat = np.ravel_multi_index(tuple(indices.T), stored.shape) if indices.ndim == 2 else indices
    values = stored.values.read()
    dense = np.zeros(elements, values.dtype)
    dense[flat] = values
    return dense.reshape(stored.shape)
