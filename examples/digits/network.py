"""A small network in NumPy: convolutions and linear layers with ReLU between, trained with Adam under masks.

Weights are matrices W (m, k) and a layer computes W·X with X (k, positions · images), as in simsparse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass
class Layer:
    """``kernel`` 0 is linear, else a square convolution with ``stride`` and padding kernel // 2."""

    name: str
    weights: Array
    bias: Array
    kernel: int = 0
    stride: int = 1
    mask: NDArray[np.bool_] | None = None
    state: list[Any] = field(default_factory=list)


@dataclass
class Network:
    """Layers in order, the last without ReLU."""

    name: str
    layers: list[Layer]

    def copy(self) -> Network:
        """The same numbers in new arrays."""
        layers = [
            Layer(la.name, la.weights.copy(), la.bias.copy(), la.kernel, la.stride, la.mask)
            for la in self.layers
        ]
        return Network(self.name, layers)


def make(name: str, sizes: Sequence[tuple[int, int, int, int]], seed: int) -> Network:
    """A network of layers (outputs, inputs, kernel, stride) with He's initial weights."""
    rng = np.random.default_rng(seed)
    layers = []
    for number, (outputs, inputs, kernel, stride) in enumerate(sizes):
        k = inputs * (kernel * kernel or 1)
        weights = rng.standard_normal((outputs, k), dtype=np.float32) * np.float32((2 / k) ** 0.5)
        kind = "conv" if kernel else "fc"
        layers.append(Layer(f"{kind}{number + 1}", weights, np.zeros(outputs, np.float32), kernel, stride))
    return Network(name, layers)


MLP = ((128, 64, 0, 1), (64, 128, 0, 1), (10, 64, 0, 1))
CNN = ((16, 1, 3, 1), (32, 16, 3, 2), (10, 512, 0, 1))


def operand(layer: Layer, x: Array) -> Array:
    """X (k, columns) of a layer from its input (images, …); columns are positions within images."""
    if not layer.kernel:
        return np.ascontiguousarray(x.reshape(len(x), -1).T)
    channels = x.shape[1]
    pad, kernel, stride = layer.kernel // 2, layer.kernel, layer.stride
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (kernel, kernel), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return windows.transpose(1, 4, 5, 0, 2, 3).reshape(channels * kernel * kernel, -1)


def forward(network: Network, x: Array) -> tuple[Array, list[tuple[Array, Array]]]:
    """Logits (images, 10), and of each layer its X and its output before ReLU."""
    trail = []
    for layer in network.layers:
        columns = operand(layer, x)
        y = layer.weights @ columns + layer.bias[:, None]
        trail.append((columns, y))
        x = shaped(layer, y, x)
        if layer is not network.layers[-1]:
            x = np.maximum(x, 0)
    return x, trail


def shaped(layer: Layer, y: Array, x: Array) -> Array:
    """Y (m, columns) as (images, m) or (images, m, height, width)."""
    if not layer.kernel:
        return y.T
    height = -(-x.shape[2] // layer.stride)
    return y.reshape(len(y), len(x), height, -1).transpose(1, 0, 2, 3)


def gradients(network: Network, x: Array, labels: NDArray[np.int64]) -> list[tuple[Array, Array]]:
    """∂loss/∂W and ∂loss/∂bias of each layer, of the mean cross-entropy."""
    logits, trail = forward(network, x)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(x)), labels] -= 1
    dy: Array = (shares / len(x)).T.astype(np.float32)
    found = []
    for at in range(len(network.layers) - 1, -1, -1):
        layer, (columns, _) = network.layers[at], trail[at]
        found.append((dy @ columns.T, dy.sum(axis=1)))
        if at:
            before = network.layers[at - 1]
            dx = layer.weights.T @ dy
            dy = _to_output(layer, before, dx, trail[at - 1][1], len(x))
    return found[::-1]


def _to_output(layer: Layer, before: Layer, dx: Array, y: Array, images: int) -> Array:
    """The gradient of X (k, columns) as that of the output (m, columns) of the layer before, through ReLU."""
    if not layer.kernel:
        if before.kernel:
            spread = dx.T.reshape(images, len(y), -1).transpose(1, 0, 2).reshape(len(y), -1)
        else:
            spread = dx
    else:
        side = int((y.shape[1] // images) ** 0.5)
        spread = _fold(layer, dx, (images, len(y), side, side)).transpose(1, 0, 2, 3).reshape(len(y), -1)
    return np.where(y > 0, spread, np.float32(0))


def _fold(layer: Layer, dx: Array, shape: tuple[int, int, int, int]) -> Array:
    """Add what every window got to the pixel it came from."""
    images, channels, height, width = shape
    kernel, stride, pad = layer.kernel, layer.stride, layer.kernel // 2
    out = -(-height // stride)
    parts = dx.reshape(channels, kernel, kernel, images, out, out)
    wide = np.zeros((images, channels, height + 2 * pad, width + 2 * pad), np.float32)
    for r in range(kernel):
        for s in range(kernel):
            target = wide[:, :, r : r + stride * out : stride, s : s + stride * out : stride]
            target += parts[:, r, s].transpose(1, 0, 2, 3)
    return wide[:, :, pad : pad + height, pad : pad + width]


def train(
    network: Network,
    x: Array,
    labels: NDArray[np.int64],
    *,
    epochs: int,
    rate: float,
    seed: int,
    batch: int = 64,
) -> None:
    """Adam over mini-batches; weights outside a layer's mask stay zero."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        layer.state = [[np.zeros_like(p), np.zeros_like(p)] for p in (layer.weights, layer.bias)]
        hold(layer)
    step = 0
    for _ in range(epochs):
        for part in _batches(rng, len(x), batch):
            step += 1
            for layer, found in zip(network.layers, gradients(network, x[part], labels[part]), strict=True):
                _adam(layer, found, rate, step)
                hold(layer)


def hold(layer: Layer) -> None:
    """Put the removed weights back to zero."""
    if layer.mask is not None:
        layer.weights[~layer.mask] = 0


def _adam(layer: Layer, found: tuple[Array, Array], rate: float, step: int) -> None:
    for value, gradient, (mean, square) in zip((layer.weights, layer.bias), found, layer.state, strict=True):
        mean += np.float32(0.1) * (gradient - mean)
        square += np.float32(0.001) * (gradient * gradient - square)
        scaled = np.sqrt(square / np.float32(1 - 0.999**step)) + np.float32(1e-8)
        value -= np.float32(rate / (1 - 0.9**step)) * mean / scaled


def _batches(rng: np.random.Generator, count: int, size: int) -> Iterator[NDArray[np.int64]]:
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def accuracy_by(classify: Callable[[Array], Array], x: Array, labels: NDArray[np.int64]) -> float:
    """Share of images whose largest logit is at their label."""
    return float((classify(x).argmax(axis=1) == labels).mean())
