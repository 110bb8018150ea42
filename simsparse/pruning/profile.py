"""Published densities of one pruned network, matched to a workload's layers by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from simsparse.ir import Layer, Workload

_NOISE = re.compile(r"^layer \d+ - |^module\.|\.weight$|(?<=downsample)\.0(?=$|\.)")
_ENOUGH = 0.6  # share of layers, on both sides, that must have a partner for a profile to be about a model
_SAME_SIZE = 0.5  # share of those partners that must have the published number of weights


def normalised(name: str) -> str:
    """A layer name without what varies between files.

    >>> normalised("Layer 5 - layer1.0.downsample.0"), normalised("module.conv1.weight")
    ('layer1.0.downsample', 'conv1')
    """
    return _NOISE.sub("", name.lower()).replace("-", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLayer:
    """What was published about one layer; ``activation_density`` is that of its input."""

    density: float
    weights: int | None = None
    activation_density: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Densities of one published pruned network by normalised layer name."""

    name: str
    short: tuple[str, ...]
    network: str
    method: str
    source: str
    layers: Mapping[str, ProfileLayer]

    @property
    def overall_density(self) -> float | None:
        """Kept share of all weights of the profile's layers; None where their sizes were not published."""
        sizes = [row.weights or 0 for row in self.layers.values()]
        if not all(sizes):
            return None
        return sum(row.density * size for row, size in zip(self.layers.values(), sizes, strict=True)) / sum(
            sizes
        )

    def density(self, layer: Layer) -> float | None:
        """Kept share of the layer's weights; None where nothing was published."""
        row = self.layers.get(normalised(layer.name))
        return None if row is None else row.density

    def activation_density(self, layer: Layer) -> float | None:
        """Share of non-zeros in the layer's input; None where nothing was published."""
        row = self.layers.get(normalised(layer.name))
        return None if row is None else row.activation_density

    def resized(self, workload: Workload) -> tuple[str, ...]:
        """Layers whose number of weights is not the published one, each with both numbers."""
        return tuple(
            f"{layer.name} (published {row.weights}, here {layer.weight_elements})"
            for layer, row in self._partners(workload)
            if row.weights not in (None, layer.weight_elements)
        )

    def belongs_to(self, workload: Workload) -> bool:
        """Whether most layers on both sides have a partner, and at least half of these the same size."""
        weighted = sum(layer.kind.has_weights for layer in workload.layers)
        partners = len(self._partners(workload))
        return (
            partners > 0
            and partners >= _ENOUGH * max(weighted, len(self.layers))
            and len(self.resized(workload)) <= (1 - _SAME_SIZE) * partners
        )

    def _partners(self, workload: Workload) -> list[tuple[Layer, ProfileLayer]]:
        return [
            (layer, self.layers[normalised(layer.name)])
            for layer in workload.layers
            if layer.kind.has_weights and normalised(layer.name) in self.layers
        ]
