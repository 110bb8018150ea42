"""What is known of the inputs of layers, from an ``.npz`` file such as a capture, or one written by hand.

A layer that the file does not name is as without it; of the others it has one or both of

- ``<layer>/density``: one number, the share of non-zeros in the input;
- ``<layer>/input_mask``: which inputs are not zero, as booleans of the input's own shape, or as the bits that
  `numpy.packbits` makes of them with ``<layer>/input_shape`` beside it.

The shapes are those of `simsparse.pruning.input_masks`. By hand::

    np.savez("a.npz", **{"conv1/input_mask": x != 0, "fc/density": 0.4})
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError, ShapeError, UsageError
from simsparse.ir import Layer, Workload
from simsparse.load.npz import MOST_BYTES, NpzArrays
from simsparse.load.quoting import shown
from simsparse.pruning.input_masks import MOST_MASK_BYTES, InputMask, misfit, packed_bytes

DENSITY, MASK, SHAPE = "density", "input_mask", "input_shape"
_MOST_AXES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """Shares of non-zeros and masks by layer; a layer with a mask has the mask's own share."""

    densities: Mapping[str, float] = field(default_factory=dict)
    masks: Mapping[str, InputMask] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What of the masks could not be used, and why."""


Given = str | Path | Mapping[str, float | NDArray[np.bool_]]
"""A file, or densities and boolean masks by layer name."""


def load_activations(given: Given, workload: Workload) -> Activations:
    """What ``given`` says about the inputs of the products of ``workload``.

    A mask of another batch, sequence length or image size than the workload's gives its density only, and a
    note. Bits are read for layers of the workload alone, so that memory is bounded by its inputs.

    Raises
    ------
    FileError
        If the file cannot be read, or lies about an array.
    UsageError
        If no layer of the workload is named, a density is out of range, or a mask belongs to another layer.
    """
    source = "activations" if isinstance(given, Mapping) else str(given)
    known = _InMemory(given) if isinstance(given, Mapping) else _InFile(given)
    layers = {layer.name: layer for layer in workload.layers if layer.kind.is_product}
    densities: dict[str, float] = {}
    masks: dict[str, InputMask] = {}
    unfit: list[str] = []
    for layer in layers.values():
        density = known.density(layer.name)
        if density is not None:
            if not 0.0 <= density <= 1.0:
                raise UsageError(
                    f"{source}: layer {shown(layer.name)}: expected a density of 0 to 1, got {density:g}"
                )
            densities[layer.name] = density
        shape = known.shape(layer.name)
        if shape is None:
            continue
        if _misfit(shape, layer, source):
            unfit.append(layer.name)
            if density is None:
                densities[layer.name] = known.mask(layer.name, shape, most_bytes=MOST_MASK_BYTES).density
        else:
            masks[layer.name] = known.mask(layer.name, shape)
            densities[layer.name] = masks[layer.name].density
    if not densities:
        raise UsageError(
            f"{source}: expected densities or masks of layers of {workload.name}, got none"
            " (capture them from the same model with simsparse measure --capture)"
        )
    return Activations(densities=densities, masks=masks, notes=_note(source, unfit))


def _note(source: str, unfit: list[str]) -> tuple[str, ...]:
    if not unfit:
        return ()
    return (
        f"masks in {source} of another batch, sequence length or image size count by their density only:"
        f" {', '.join(unfit)}",
    )


def _misfit(shape: tuple[int, ...], layer: Layer, source: str) -> bool:
    try:
        return misfit(shape, layer)
    except ShapeError as error:
        raise UsageError(
            f"{source}: layer {shown(layer.name)}: {error} (capture it from the same model)"
        ) from None


class _InMemory:
    """Densities and masks that a program gives."""

    def __init__(self, given: Mapping[str, float | NDArray[np.bool_]]) -> None:
        self._given = given

    def density(self, name: str) -> float | None:
        value = self._given.get(name)
        if value is None or (isinstance(value, np.ndarray) and value.ndim):
            return None
        return float(value)

    def shape(self, name: str) -> tuple[int, ...] | None:
        value = self._given.get(name)
        if not isinstance(value, np.ndarray) or not value.ndim:
            return None
        if value.dtype != np.bool_ or not value.size:
            raise UsageError(
                f"activations: layer {shown(name)}: expected a density or a boolean mask, got {value.dtype}"
                f" of shape {value.shape} (write x != 0)"
            )
        return value.shape

    def mask(self, name: str, shape: tuple[int, ...], *, most_bytes: int = 0) -> InputMask:  # noqa: ARG002
        return InputMask.of(np.asarray(self._given[name], np.bool_))


class _InFile:
    """The arrays of an ``.npz`` file, trusted in nothing."""

    def __init__(self, path: str | Path) -> None:
        self._path, self._arrays = path, NpzArrays(path)

    def density(self, name: str) -> float | None:
        key = f"{name}/{DENSITY}"
        if key not in self._arrays:
            return None
        shape, _ = self._arrays.header(key)
        if math.prod(shape) != 1:
            raise self._wrong(key, "one density", f"{math.prod(shape)} numbers")
        return float(self._arrays[key].reshape(()))

    def shape(self, name: str) -> tuple[int, ...] | None:
        key = f"{name}/{MASK}"
        if key not in self._arrays:
            return None
        stored, dtype = self._arrays.header(key)
        if dtype == np.bool_:
            shape = stored
        elif dtype == np.uint8 and f"{name}/{SHAPE}" in self._arrays:
            shape = self._told_shape(f"{name}/{SHAPE}")
            if stored != (packed_bytes(shape),):
                raise self._wrong(key, f"{packed_bytes(shape)} bytes of bits for {shape}", f"shape {stored}")
        else:
            raise self._wrong(key, f"booleans, or packed bits with {name}/{SHAPE} beside them", str(dtype))
        if not shape or len(shape) > _MOST_AXES or min(shape) < 1:
            raise self._wrong(key, "the input's shape", str(shape))
        return shape

    def mask(self, name: str, shape: tuple[int, ...], *, most_bytes: int = MOST_BYTES) -> InputMask:
        key = f"{name}/{MASK}"
        stored, _ = self._arrays.header(key)
        if math.prod(stored) > most_bytes:
            raise self._wrong(key, f"at most {most_bytes} bytes", f"{math.prod(stored)}")
        array = self._arrays[key]
        return InputMask.of(array) if array.dtype == np.bool_ else InputMask(bits=array, shape=shape)

    def _told_shape(self, key: str) -> tuple[int, ...]:
        sizes, dtype = self._arrays.header(key)
        if dtype.kind not in "iu" or len(sizes) != 1 or not 1 <= sizes[0] <= _MOST_AXES:
            raise self._wrong(key, f"1 to {_MOST_AXES} whole numbers", f"{dtype} of shape {sizes}")
        shape = tuple(int(size) for size in self._arrays[key])
        if min(shape) < 1:
            raise self._wrong(key, "sizes of at least 1", str(shape))
        return shape

    def _wrong(self, key: str, expected: str, got: str) -> FileError:
        told = f"array {shown(key)}: expected {expected}, got {got} (write it anew)"
        return FileError([f"{self._path}: {told}"])
