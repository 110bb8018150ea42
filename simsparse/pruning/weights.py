"""Weights for layers whose model brought none: drawn from a seed, the same wherever they are used."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError, UsageError
from simsparse.ir import Layer

_SMALLEST = np.float32(2.0**-24)
_IN_CACHE = 1 << 16  # weights drawn and scaled at a time; the stream does not depend on it


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
    generator = layer_generator(layer, seed)
    weights = np.empty((layer.m, layer.k), np.float32)
    deviation = np.float32((2.0 / layer.k) ** 0.5)
    rows = max(1, _IN_CACHE // layer.k)
    for start in range(0, layer.m, rows):
        block = weights[start : start + rows]
        generator.standard_normal(out=block, dtype=np.float32)
        block[block == 0] = _SMALLEST
        block *= deviation
    return weights
