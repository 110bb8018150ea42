"""Weights for layers whose model brought none: drawn from a seed, the same wherever they are used."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError, UsageError
from simsparse.ir import Layer

_SMALLEST = np.float32(2.0**-24)


def layer_generator(layer: Layer, seed: int, *stream: int) -> np.random.Generator:
    """The layer's own generator: it depends on ``seed`` and the layer's name, never on the order of calls.

    Raises
    ------
    UsageError
        If ``seed`` is negative.
    """
    if seed < 0:
        raise UsageError(f"seed: expected an integer >= 0, got {seed}")
    return np.random.default_rng([seed, zlib.crc32(layer.name.encode()), *stream])


def seeded_weights(layer: Layer, seed: int) -> NDArray[np.float32]:
    """Normal weights ``(m, k)`` of standard deviation ``sqrt(2 / k)``, none of them exactly zero.

    A draw of exactly zero (one in 2^23 in float32) becomes 2^-24 standard deviations, so that a dense layer
    has no zero by accident.

    Raises
    ------
    ShapeError
        If the layer holds no weights.
    UsageError
        If ``seed`` is negative.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015, equation 10.
    """
    if not layer.kind.has_weights:
        raise ShapeError(
            f"layer {layer.name}: expected a layer with weights, got kind {layer.kind}"
            " (conv and linear have them)"
        )
    weights = layer_generator(layer, seed).standard_normal((layer.m, layer.k), dtype=np.float32)
    weights[weights == 0] = _SMALLEST
    weights *= np.float32((2.0 / layer.k) ** 0.5)
    return weights
