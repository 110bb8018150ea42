"""One training step of a pruned workload: forward, both backward products of each layer, the update.

A layer Y[m, n] = W[m, k] · X[k, n] becomes

- itself;
- ``:dx``, the input gradient ∂X[k, n] = Wᵀ[k, m] · ∂Y[m, n], with the mask of Wᵀ: a pattern of groups along k
  is, seen from the other side, none. The first layer with weights has no use for it;
- ``:dw``, the weight gradient ∂W[m, k] = ∂Y[m, n] · Xᵀ[n, k], a product of two activations, computed for
  every weight as frameworks do: the mask is applied after it;
- ``:update``, the optimiser, which reads weight, gradient and state and writes weight and state.

A convolution's gradients are these products over its im2col matrix, whose elements move as often as those of
its input. A product of two activations has the gradients of both. Layers without a product are passed through
backwards once, reading what they gave and its gradient. Multiply-adds of a dense step are so three times
those of inference, less the first layer's input gradient.

Source: Rumelhart et al., Learning representations by back-propagating errors, Nature 323, 1986; Kingma and
Ba, Adam, ICLR 2015, for its two states a weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UnknownNameError, UsageError
from simsparse.ir import Layer, LayerKind, Workload
from simsparse.pattern import Block, Dense, Pattern, Unstructured
from simsparse.pruning.arrays import Mask
from simsparse.pruning.pruned import Pruned

OPTIMIZERS = {"sgd": 0, "momentum": 1, "adam": 2}
"""Optimisers and the states they keep of each weight."""
_UPDATE_OPERATIONS = {"sgd": 2, "momentum": 4, "adam": 12}
INPUT_GRADIENT, WEIGHT_GRADIENT, UPDATE = ":dx", ":dw", ":update"
SECOND_GRADIENT = ":dx2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep(Pruned):
    """The layers of one step, in order, with the masks of ``forward``; made by `training_step`."""

    forward: Pruned
    origin: Mapping[str, Layer]
    """The layer of the forward pass that a layer of the step comes from."""
    gradient_density: float | Mapping[str, float]
    _packed: dict[str, NDArray[np.uint8] | None] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def pattern_of(self, layer: Layer) -> Pattern:
        """The pattern of the layer's weights; of the transposed ones as far as it has one."""
        asked = self.forward.pattern_of(self.origin[layer.name])
        if not layer.name.endswith(INPUT_GRADIENT) or isinstance(asked, Dense | Unstructured):
            return asked
        return Block(asked.columns, asked.rows, asked.sparsity) if isinstance(asked, Block) else _loose(asked)

    def mask(self, layer: Layer) -> Mask | None:
        """The forward mask, for an input gradient that of the transposed weights."""
        if not layer.kind.has_weights:
            return self._gradient_mask(layer)
        mask = self._forward_mask(self.origin[layer.name])
        if mask is None or not layer.name.endswith(INPUT_GRADIENT):
            return mask
        origin = self.origin[layer.name]
        grouped = mask.reshape(origin.groups, origin.m // origin.groups, origin.k)
        return np.ascontiguousarray(grouped.transpose(0, 2, 1)).reshape(layer.m, layer.k)

    def activation_density(self, layer: Layer) -> float | None:
        """Density of X forwards and in a weight gradient, of ∂Y in an input gradient."""
        origin = self.origin[layer.name]
        if layer.name.endswith(INPUT_GRADIENT):
            return self._gradient_density(origin)
        return self.forward.activation_density(origin)

    def sparsity_of(self, layer: Layer) -> float:
        """Share of the forward layer's weights that its mask removes."""
        return self.forward.sparsity_of(self.origin[layer.name])

    def _forward_mask(self, origin: Layer) -> Mask | None:
        """Kept between the passes, one bit a weight."""
        if origin.name not in self._packed:
            mask = self.forward.mask(origin)
            self._packed[origin.name] = None if mask is None else np.packbits(mask)
        bits = self._packed[origin.name]
        if bits is None:
            return None
        return np.unpackbits(bits, count=origin.m * origin.k).view(np.bool_).reshape(origin.m, origin.k)

    def _gradient_density(self, origin: Layer) -> float:
        if isinstance(self.gradient_density, Mapping):
            return self.gradient_density.get(origin.name, 1.0)
        return self.gradient_density

    def _gradient_mask(self, layer: Layer) -> Mask | None:
        """Where ∂Y, the left operand of a weight gradient, is not zero: drawn by density."""
        if not layer.name.endswith(WEIGHT_GRADIENT):
            return None
        density = self._gradient_density(self.origin[layer.name])
        if density >= 1.0:
            return None
        generator = np.random.default_rng([self.seed, crc32(layer.name.encode())])
        return generator.random((layer.m, layer.k), dtype=np.float32) < density


def training_step(
    pruned: Pruned, *, optimizer: str = "adam", gradient_density: float | Mapping[str, float] = 1.0
) -> TrainingStep:
    """The training step of ``pruned``.

    Parameters
    ----------
    optimizer
        ``sgd``, ``momentum`` or ``adam``.
    gradient_density
        Share of ∂Y that is not zero, for all layers or by layer name (1 where it is not named).

    Raises
    ------
    UnknownNameError
        If there is no such optimiser.
    UsageError
        If a density is out of range.
    """
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    given = gradient_density.values() if isinstance(gradient_density, Mapping) else (gradient_density,)
    for density in given:
        if not 0.0 <= density <= 1.0:
            raise UsageError(f"gradient-density: expected 0 to 1, got {density:g}")
    pairs = [*((layer, layer) for layer in pruned.workload.layers)]
    pairs += _backward(pruned.workload)
    pairs += [
        (_update(layer, optimizer), layer) for layer in pruned.workload.layers if layer.kind.has_weights
    ]
    workload = replace(pruned.workload, layers=tuple(layer for layer, _ in pairs))
    shared = {
        item.name: getattr(pruned, item.name)
        for item in fields(Pruned)
        if item.init and item.name != "workload"
    }
    notes = (
        f"one training step with {optimizer}; weight gradients and updates are dense, masks come after",
        "gradients of convolutions are products over their im2col matrix",
    )
    return TrainingStep(
        **{**shared, "notes": (*pruned.notes, *notes)},
        workload=workload,
        forward=pruned,
        origin=MappingProxyType({layer.name: origin for layer, origin in pairs}),
        gradient_density=gradient_density,
    )


def training_bytes(workload: Workload, bits: int, optimizer: str = "adam") -> dict[str, int]:
    """Bytes held at the end of the forward pass, dense: weights, gradients, optimiser state, activations.

    Every layer's output is kept for the backward pass; state has the width of the weights.
    """
    weights = sum(layer.weight_elements * layer.count for layer in workload.layers) * bits // 8
    kept = sum(layer.output_elements * layer.count for layer in workload.layers) * bits // 8
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer state": weights * OPTIMIZERS[optimizer],
        "activations kept": kept,
    }


def _loose(pattern: Pattern) -> Pattern:
    return Unstructured(pattern.sparsity) if not isinstance(pattern, Dense) else pattern


def _backward(workload: Workload) -> Iterator[tuple[Layer, Layer]]:
    first = next((at for at, layer in enumerate(workload.layers) if layer.kind.has_weights), 0)
    for at, layer in reversed(list(enumerate(workload.layers))):
        if layer.kind.has_weights:
            if at > first:
                yield _input_gradient(layer), layer
            yield _weight_gradient(layer), layer
        elif at > first:
            yield from ((gradient, layer) for gradient in _other_gradients(layer))


def _input_gradient(layer: Layer) -> Layer:
    return Layer(
        name=layer.name + INPUT_GRADIENT,
        kind=LayerKind.LINEAR,
        m=layer.groups * layer.k,
        k=layer.m // layer.groups,
        n=layer.n,
        groups=layer.groups,
        count=layer.count,
        input_elements=layer.output_elements,
        output_elements=layer.input_elements,
    )


def _weight_gradient(layer: Layer) -> Layer:
    return Layer(
        name=layer.name + WEIGHT_GRADIENT,
        kind=LayerKind.MATMUL,
        m=layer.m,
        k=layer.n,
        n=layer.k,
        groups=layer.groups,
        count=layer.count,
        input_elements=layer.output_elements + layer.input_elements,
        output_elements=layer.weight_elements,
    )


def _other_gradients(layer: Layer) -> Iterator[Layer]:
    if layer.kind is not LayerKind.MATMUL:
        yield replace(
            layer,
            name=layer.name + INPUT_GRADIENT,
            input_elements=layer.input_elements + layer.output_elements,
            output_elements=layer.input_elements,
            operations=2 * layer.operations,
        )
        return
    rows = layer.m // layer.groups
    left, right = layer.m * layer.k, layer.groups * layer.k * layer.n
    moved = layer.output_elements
    yield replace(
        layer,
        name=layer.name + SECOND_GRADIENT,
        m=layer.groups * layer.k,
        k=rows,
        n=layer.n,
        input_elements=moved + left,
        output_elements=right,
    )
    yield replace(
        layer,
        name=layer.name + INPUT_GRADIENT,
        k=layer.n,
        n=layer.k,
        input_elements=moved + right,
        output_elements=left,
    )


def _update(layer: Layer, optimizer: str) -> Layer:
    states, elements = OPTIMIZERS[optimizer], layer.weight_elements
    return Layer(
        name=layer.name + UPDATE,
        kind=LayerKind.ELEMENTWISE,
        count=layer.count,
        input_elements=(2 + states) * elements,
        output_elements=(1 + states) * elements,
        operations=_UPDATE_OPERATIONS[optimizer] * elements,
    )
