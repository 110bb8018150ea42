"""How one budget is spread over layers: a density for each layer by name.

``uniform`` gives each layer the same share; ``erk`` keeps more of small layers; ``global`` (in
`simsparse.pruning.global_threshold`) compares the scores of all layers. A layer that stands for ``count``
identical ones weighs as many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from simsparse.ir import Layer

ALLOCATIONS = ("uniform", "erk", "global")


def uniform(layers: Sequence[Layer], density: float) -> dict[str, float]:
    """The same density everywhere."""
    return {layer.name: density for layer in layers}


def weight_dims(layer: Layer) -> tuple[int, ...]:
    """The weight tensor's shape: (out, in), for a convolution (out, in per group, height, width)."""
    if layer.conv is None:
        return layer.m, layer.k
    kernel = layer.conv.kernel_height, layer.conv.kernel_width
    return layer.m, layer.k // prod(kernel), *kernel


def erk(layers: Sequence[Layer], density: float) -> dict[str, float]:
    """Erdős–Rényi-kernel densities: proportional to the sum ÷ the product of the weight tensor's dimensions.

    A layer whose share passes 1 is kept dense, and the others share what then remains of the budget, until
    none passes 1. Σ density × weights is ``density`` × Σ weights.

    Source: Mocanu et al., Nature Communications 9:2383, 2018; Evci et al., RigL, ICML 2020, section 3 and its
    published code (the layers of largest share go dense first, one share at a time).
    """
    weight = {layer.name: layer.weight_elements * layer.count for layer in layers}
    raw = {layer.name: sum(weight_dims(layer)) / prod(weight_dims(layer)) for layer in layers}
    budget = density * sum(weight.values())
    sparse = dict(raw)
    while sparse:
        left = budget - sum(weight[name] for name in raw if name not in sparse)
        scale = max(left, 0.0) / sum(share * weight[name] for name, share in sparse.items())
        largest = max(sparse.values())
        if scale * largest <= 1.0:
            return {name: scale * sparse[name] if name in sparse else 1.0 for name in raw}
        sparse = {name: share for name, share in sparse.items() if share < largest}
    return dict.fromkeys(raw, 1.0)
