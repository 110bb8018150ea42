"""What criteria know about a layer besides its weights: inputs, gradients, curvature, masks.

Arrays are known by ``<layer>/<kind>``, in an ``.npz`` file as in memory:

======================  ======================================================================
``inputs``              X of the layer, ``(groups·k, samples)``: as its product meets it
``gram``                X·Xᵀ, ``(k, k)``, for grouped convolutions ``(groups, k, k)``
``input_squares``       the diagonal of that, ``(groups·k,)``
``gradients``           ∂loss/∂W, ``(m, k)``, summed over the calibration set
``hessian_diagonal``    ∂²loss/∂W², ``(m, k)``
``mask``                kept weights as booleans, or probabilities to be kept, ``(m, k)``
======================  ======================================================================

One is derived from another where that is exact: the Gram matrix from inputs, the squares from the Gram
matrix, and the Hessian's diagonal of the layer's squared output error from the squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError, UsageError
from simsparse.ir import Layer

KINDS = ("inputs", "gram", "input_squares", "gradients", "hessian_diagonal", "mask")
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Arrays by ``<layer>/<kind>``, which may load when they are asked for, and where they come from."""

    arrays: Mapping[str, Array]
    source: str

    def names(self, kind: str) -> frozenset[str]:
        """The layers that have an array of this kind."""
        return frozenset(
            key.rpartition("/")[0] for key in self.arrays if key.rpartition("/")[2] == kind and "/" in key
        )

    def gram(self, layer: Layer) -> NDArray[np.float64]:
        """X·Xᵀ of each group, ``(groups, k, k)``.

        Raises
        ------
        UsageError
            If the data have neither it nor the inputs, or a number is not finite.
        ShapeError
            If an array has another shape.
        """
        groups, k = layer.groups, layer.k
        given = self._array(layer, "gram", ((groups, k, k), (k, k)) if groups == 1 else ((groups, k, k),))
        if given is not None:
            return given.reshape(groups, k, k).astype(np.float64, copy=False)
        inputs = self._inputs(layer)
        if inputs is None:
            raise self._missing(layer, "gram or inputs")
        return inputs @ inputs.transpose(0, 2, 1)

    def input_squares(self, layer: Layer) -> NDArray[np.float64]:
        """Σ x² of each input, ``(groups, k)``; errors as in `gram`."""
        groups, k = layer.groups, layer.k
        given = self._array(layer, "input_squares", ((groups * k,), (groups, k)))
        if given is None and (inputs := self._inputs(layer)) is not None:
            given = np.square(inputs).sum(axis=2)
        if given is None and f"{layer.name}/gram" in self.arrays:
            given = np.diagonal(self.gram(layer), axis1=1, axis2=2)
        if given is None:
            raise self._missing(layer, "input_squares, gram or inputs")
        squares = np.asarray(given, np.float64).reshape(groups, k)
        if squares.size and squares.min() < 0:
            raise UsageError(
                f"{self.source}: layer {layer.name}: expected sums of squares, got {squares.min():g}"
            )
        return squares

    def gradients(self, layer: Layer) -> NDArray[np.float32]:
        """∂loss/∂W, ``(m, k)``; errors as in `gram`."""
        given = self._array(layer, "gradients", ((layer.m, layer.k),))
        if given is None:
            raise self._missing(layer, "gradients")
        return given.astype(np.float32, copy=False)

    def curvature(self, layer: Layer) -> NDArray[np.float64]:
        """The Hessian's diagonal ``(m, k)``; without one that of ½‖(W − W')X‖², the inputs' squares."""
        given = self._array(layer, "hessian_diagonal", ((layer.m, layer.k),))
        if given is None:
            return by_rows(self.input_squares(layer), layer)
        if given.size and given.min() < 0:
            raise UsageError(
                f"{self.source}: layer {layer.name}: expected a Hessian diagonal >= 0, got {given.min():g}"
                " (OBD assumes a minimum: use its Gauss-Newton part)"
            )
        return given.astype(np.float64, copy=False)

    def mask(self, layer: Layer) -> NDArray[np.float32] | None:
        """Probabilities to be kept ``(m, k)``, of a boolean mask 0 and 1; None where the layer has none."""
        given = self._array(layer, "mask", ((layer.m, layer.k),))
        if given is not None and given.size and not (given.min() >= 0 and given.max() <= 1):
            raise UsageError(f"{self.source}: layer {layer.name}: expected a mask of 0 to 1")
        return None if given is None else given.astype(np.float32)

    def _inputs(self, layer: Layer) -> NDArray[np.float64] | None:
        rows = layer.groups * layer.k
        given = self._array(layer, "inputs", ((rows, -1),))
        return None if given is None else given.astype(np.float64).reshape(layer.groups, layer.k, -1)

    def _array(self, layer: Layer, kind: str, shapes: tuple[tuple[int, ...], ...]) -> Array | None:
        key = f"{layer.name}/{kind}"
        if key not in self.arrays:
            return None
        array = self.arrays[key]
        if not any(_fits(array.shape, shape) for shape in shapes):
            expected = " or ".join(_text(shape) for shape in shapes)
            raise ShapeError(f"{self.source}: {key}: expected shape {expected}, got {array.shape}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise UsageError(
                f"{self.source}: {key}: expected finite numbers, got {array.dtype}"
                f"{' with NaN or Inf' if array.dtype.kind == 'f' else ''}"
            )
        return array

    def _missing(self, layer: Layer, what: str) -> UsageError:
        return UsageError(
            f'{self.source}: layer {layer.name}: expected "{layer.name}/…" of kind {what}, got none'
            " (simsparse measure --capture FILE.npz records inputs; or leave the layer out with --skip)"
        )


def by_rows(of_groups: NDArray[np.float64], layer: Layer) -> NDArray[np.float64]:
    """``(groups, k)`` figures of inputs for each row of W, ``(m, k)``."""
    return np.repeat(of_groups, layer.m // layer.groups, axis=0)


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (-1, s) for s, e in zip(shape, expected, strict=True))


def _text(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join("samples" if size == -1 else str(size) for size in shape) + ")"
