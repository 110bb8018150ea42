"""A pruned workload: weights and masks of one layer at a time, made when asked for and not kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.ir import Layer, Workload, ZerosKnown
from simsparse.pattern import NM, VNM, Dense, Pattern, Unstructured
from simsparse.pruning.arrays import Mask, Scores
from simsparse.pruning.criterion import Criterion, Weights
from simsparse.pruning.input_masks import InputMask
from simsparse.pruning.masks import prune_matrix, prune_rows
from simsparse.pruning.matrix import matrix_options
from simsparse.pruning.profile import Profile
from simsparse.pruning.weights import seeded_weights


def layer_weights(workload: Workload, layer: Layer, seed: int) -> NDArray[np.float32]:
    """The model's own weights ``(m, k)`` of ``layer`` as float32, or seeded ones where it brought none.

    Raises
    ------
    ShapeError
        If the layer holds no weights, or the model's have another shape.
    """
    if layer.name not in workload.weights:
        return seeded_weights(layer, seed)
    weights: NDArray[Any] = workload.weights[layer.name]
    if weights.shape != (layer.m, layer.k):
        raise ShapeError(
            f"layer {layer.name}: expected weights of shape ({layer.m}, {layer.k}), got {weights.shape}"
        )
    return weights.astype(np.float32, copy=False)


def spare_weights(workload: Workload, layer: Layer, seed: int) -> NDArray[np.float32]:
    """`layer_weights` for a criterion: writeable where nobody else holds them, else a read-only view."""
    weights = layer_weights(workload, layer, seed)
    return _read_only(weights) if layer.name in workload.weights else weights


def _read_only(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    view = weights.view()
    view.flags.writeable = False
    return view


def layer_scores(layer: Layer, criterion: Criterion, weights: Weights, seed: int) -> Scores:
    """The criterion's scores ``(m, k)`` of ``layer``.

    Raises
    ------
    ShapeError
        If the criterion gives another shape.
    """
    scores = criterion.score(layer, weights, seed)
    if scores.shape != (layer.m, layer.k):
        raise ShapeError(
            f"criterion {criterion}: expected scores of shape ({layer.m}, {layer.k}) for layer {layer.name},"
            f" got {scores.shape}"
        )
    return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What is kept of a workload's weights, made on demand: peak memory is 2 to 3 times the largest layer.

    ``densities`` holds the planned density of each layer that the pattern touches. A weight that the model
    brought as zero stays removed in every layer, whatever the pattern. Identical layers (``count``) share one
    mask.
    """

    workload: Workload
    pattern: Pattern
    """What was asked for; `Dense` where only the model's own zeros count."""
    criterion: Criterion
    seed: int
    densities: Mapping[str, float]
    notes: tuple[str, ...] = ()
    """Approximations to show with any result."""
    profile: Profile | None = None
    activations: Mapping[str, float] = field(default_factory=dict)
    """Measured shares of non-zeros in the inputs of layers, by name; they go before the profile's."""
    input_masks: Mapping[str, InputMask] = field(default_factory=dict)
    """Inputs of layers as a run showed them, by name; they go before shares. All fit their layers."""
    _sparsities: dict[str, float] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def asked(self) -> str:
        """The pattern of the whole, as a person reads it."""
        return str(self.pattern)

    def pattern_of(self, layer: Layer) -> Pattern:  # noqa: ARG002  (the same in all, here)
        """The pattern asked for in ``layer``."""
        return self.pattern

    def weights(self, layer: Layer) -> NDArray[np.float32]:
        """Weights ``(m, k)`` before pruning: the model's own, or seeded ones."""
        return layer_weights(self.workload, layer, self.seed)

    def mask(self, layer: Layer) -> Mask | None:
        """True where a weight ``(m, k)`` is kept; None where the layer is dense or holds no weights."""
        if not layer.kind.has_weights:
            return None
        return self._mask(layer, lambda: spare_weights(self.workload, layer, self.seed))

    def weights_and_mask(self, layer: Layer) -> tuple[NDArray[np.float32], Mask | None]:
        """Both at once, which draws or loads the weights once only; a criterion that repairs changes them."""
        weights = self.weights(layer)
        repair = self.criterion.repair
        if repair is not None and layer.name in self.densities:
            repaired, mask = repair(layer, weights, self.pattern, 1.0 - self.densities[layer.name])
            return repaired, self._remembered(layer, self._with_own_zeros(layer, mask, lambda: weights))
        return weights, self._mask(layer, lambda: _read_only(weights))

    def sparsity_of(self, layer: Layer) -> float:
        """Share of the layer's weights that the mask removes, exactly; the number is remembered."""
        if layer.name not in self._sparsities:
            self.mask(layer)
        return self._sparsities.get(layer.name, 0.0)

    def activation_density(self, layer: Layer) -> float | None:
        """Share of non-zeros in the layer's input as measured, else as published in the profile; or None."""
        if layer.name in self.activations:
            return self.activations[layer.name]
        return None if self.profile is None else self.profile.activation_density(layer)

    def _mask(self, layer: Layer, weights: Weights) -> Mask | None:
        mask = self._chosen(layer, weights) if layer.name in self.densities else None
        return self._remembered(layer, self._with_own_zeros(layer, mask, weights))

    def _with_own_zeros(self, layer: Layer, mask: Mask | None, weights: Weights) -> Mask | None:
        own = self.workload.weights
        if layer.name not in own:
            return mask
        nonzero: Mask = own.nonzero(layer.name) if isinstance(own, ZerosKnown) else weights() != 0
        if mask is not None:
            return np.logical_and(mask, nonzero, out=mask)
        return None if nonzero.all() else nonzero

    def _remembered(self, layer: Layer, mask: Mask | None) -> Mask | None:
        self._sparsities[layer.name] = 0.0 if mask is None else 1.0 - int(np.count_nonzero(mask)) / mask.size
        return mask

    def _chosen(self, layer: Layer, weights: Weights) -> Mask | None:
        criterion, sparsity = self.criterion, 1.0 - self.densities[layer.name]
        if criterion.own_masks is not None and isinstance(self.pattern, Dense):
            return criterion.own_masks(layer)
        if criterion.repair is not None:
            return criterion.repair(layer, weights().astype(np.float32), self.pattern, sparsity)[1]
        scores = layer_scores(layer, criterion, weights, self.seed)
        if criterion.per_row and isinstance(self.pattern, Unstructured):
            return prune_rows(scores, sparsity, name=f"layer {layer.name}")
        number = None if isinstance(self.pattern, NM | VNM) else sparsity
        return prune_matrix(scores, self.pattern, sparsity=number, **matrix_options(layer))
