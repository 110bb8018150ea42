"""Criteria that look at data: each takes a `Calibration` and gives a `Criterion`.

- ``taylor``, |w·g|, the first-order change of the loss: Molchanov et al., Pruning Convolutional Neural
  Networks for Resource Efficient Inference, ICLR 2017.
- ``obd``, h·w²/2, the diagonal second-order change: LeCun et al., Optimal Brain Damage, NIPS 1989.
- ``obs``, w² / (2·[H⁻¹]_kk), the second-order change once the others made up for it: Hassibi and Stork, NIPS
  1992; with H of each layer's output error as in Dong et al., Layer-wise Optimal Brain Surgeon, NIPS 2017.
- ``wanda``, |w|·‖x‖, compared within each output: Sun et al., A Simple and Effective Pruning Approach for
  Large Language Models, ICLR 2024.
- ``sparsegpt``, as obs but in columns from left to right, and the weights that stay are repaired: Frantar and
  Alistarh, SparseGPT, ICML 2023 (see `simsparse.pruning.reconstruction`).
- ``given``, masks or probabilities to be kept, as L0 regularisation (Louizos et al., ICLR 2018) and
  variational dropout (Molchanov et al., ICML 2017) end in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UsageError
from simsparse.ir import Layer
from simsparse.pattern import NM, VNM, Block, Pattern, Unstructured
from simsparse.pruning.arrays import Mask, Scores
from simsparse.pruning.calibration import Calibration, by_rows
from simsparse.pruning.criterion import Criterion, Weights
from simsparse.pruning.matrix import matrix_options
from simsparse.pruning.reconstruction import BLOCK, inverse_diagonal, reconstruct, refit


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCriterion:
    """A criterion that still lacks its data."""

    name: str
    about: str
    make: Callable[[Calibration, str, str], Criterion]

    def with_data(self, data: Calibration) -> Criterion:
        """The criterion that looks at ``data``."""
        return self.make(data, self.name, self.about)


def _taylor(data: Calibration, name: str, about: str) -> Criterion:
    def score(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
        return np.abs(weights() * data.gradients(layer))

    return Criterion(name=name, about=about, score=score)


def _obd(data: Calibration, name: str, about: str) -> Criterion:
    def score(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
        scores: Scores = 0.5 * data.curvature(layer) * np.square(weights(), dtype=np.float64)
        return scores

    return Criterion(name=name, about=about, score=score)


def _wanda(data: Calibration, name: str, about: str) -> Criterion:
    def score(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
        scores: Scores = np.abs(weights()) * np.sqrt(by_rows(data.input_squares(layer), layer))
        return scores

    return Criterion(name=name, about=about, score=score, per_row=True)


def _obs_scores(data: Calibration) -> Callable[[Layer, Weights, int], Scores]:
    def score(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
        inverse = np.stack([inverse_diagonal(gram) for gram in data.gram(layer)])
        scores: Scores = np.square(weights(), dtype=np.float64) / (2.0 * by_rows(inverse, layer))
        return scores

    return score


def _obs(data: Calibration, name: str, about: str) -> Criterion:
    return Criterion(name=name, about=about, score=_obs_scores(data))


def _sparsegpt(data: Calibration, name: str, about: str) -> Criterion:
    score = _obs_scores(data)

    def repair(
        layer: Layer, weights: NDArray[np.float32], pattern: Pattern, sparsity: float
    ) -> tuple[NDArray[np.float32], Mask]:
        from simsparse.pruning.masks import prune_matrix  # brings numba, which names do not need

        number = None if isinstance(pattern, NM | VNM) else sparsity
        rows = layer.m // layer.groups
        parts = [slice(first, first + rows) for first in range(0, layer.m, rows)]
        if not isinstance(pattern, NM | VNM | Unstructured | Block):  # whole columns, rows or heads
            scores = score(layer, lambda: weights, 0)
            mask = prune_matrix(scores, pattern, sparsity=number, **matrix_options(layer))
            pairs = zip(parts, data.gram(layer), strict=True)
            return np.concatenate([refit(weights[part], gram, mask[part]) for part, gram in pairs]), mask

        def choose(start: int, stop: int, errors: NDArray[np.float64]) -> Mask:  # noqa: ARG001
            return prune_matrix(errors, pattern, sparsity=number)

        done = [
            reconstruct(weights[part], gram, choose, step=_step(pattern))
            for part, gram in zip(parts, data.gram(layer), strict=True)
        ]
        return np.concatenate([values for values, _ in done]), np.concatenate([mask for _, mask in done])

    return Criterion(name=name, about=about, score=score, repair=repair)


def _step(pattern: Pattern) -> int:
    """Columns that are decided together."""
    match pattern:
        case NM(group=group) | VNM(group=group):
            return group
        case Block(columns=columns):
            return columns * max(1, BLOCK // columns)
        case _:
            return BLOCK


def _given(data: Calibration, name: str, about: str) -> Criterion:
    def score(layer: Layer, weights: Weights, seed: int) -> Scores:  # noqa: ARG001
        gates = data.mask(layer)
        if gates is None:
            raise UsageError(
                f'{data.source}: layer {layer.name}: expected "{layer.name}/mask", got none'
                " (leave the layer out with --skip)"
            )
        return gates

    def own(layer: Layer) -> Mask | None:
        gates = data.mask(layer)
        return None if gates is None else gates >= 0.5

    return Criterion(name=name, about=about, score=score, own_masks=own)


DATA_CRITERIA = {
    criterion.name: criterion
    for criterion in (
        DataCriterion(name="taylor", about="|w·g|: first-order change of the loss", make=_taylor),
        DataCriterion(name="obd", about="h·w²/2: second-order change, diagonal", make=_obd),
        DataCriterion(name="obs", about="w²/(2·[H⁻¹]): second-order change after repair", make=_obs),
        DataCriterion(name="wanda", about="|w|·‖x‖, compared within each output", make=_wanda),
        DataCriterion(name="sparsegpt", about="as obs, the weights that stay are repaired", make=_sparsegpt),
        DataCriterion(name="given", about="masks, or probabilities to be kept, from the data", make=_given),
    )
}
