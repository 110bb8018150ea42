"""Random layers and masks for the laws, and machines scaled in time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from simsparse.hardware import HardwareModel
from simsparse.ir import ConvShape, Layer, conv_layer, gemm_layer
from simsparse.load.catalog import load_hardware, names
from simsparse.pattern import parse_pattern
from simsparse.pruning.masks import prune_matrix

MACHINES = names("hardware")
PATTERNS = (
    "dense",
    "unstructured:0.5",
    "unstructured:0.93",
    "2:4",
    "block:4x1:0.7",
    "filter:0.5",
    "channel:0.5",
)


@dataclass(frozen=True)
class Case:
    """A layer with masks for both operands."""

    layer: Layer
    weights: np.ndarray
    inputs: np.ndarray
    pattern: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Products of all kinds with masks of all patterns."""
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    layer = draw(st.one_of(gemms(), convolutions()))
    pattern = draw(st.sampled_from(PATTERNS))
    positions = layer.conv.kernel_height * layer.conv.kernel_width if layer.conv else 1
    scores = generator.random((layer.m, layer.k))
    mask = prune_matrix(scores, parse_pattern(pattern), kernel_positions=positions, groups=layer.groups)
    density = draw(st.sampled_from([0.0, 0.3, 1.0]))
    inputs = generator.random((layer.groups * layer.k, layer.n)) < density
    return Case(layer=layer, weights=mask, inputs=inputs, pattern=pattern)


@st.composite
def gemms(draw: st.DrawFn) -> Layer:
    """Matrix products with awkward sizes."""
    m, k, n = (draw(st.sampled_from([1, 3, 16, 65, 130])) for _ in range(3))
    return gemm_layer("gemm", m, k, n)


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    """Convolutions: plain, strided, grouped and depthwise."""
    channels, groups = draw(st.sampled_from([(8, 1), (8, 2), (8, 8), (3, 1)]))
    kernel, stride, size = (
        draw(st.sampled_from([1, 3])),
        draw(st.sampled_from([1, 2])),
        draw(st.integers(3, 9)),
    )
    padding = kernel // 2
    out = (size + 2 * padding - kernel) // stride + 1
    conv = ConvShape(
        batch=1,
        in_channels=channels,
        in_height=size,
        in_width=size,
        kernel_height=kernel,
        kernel_width=kernel,
        out_height=out,
        out_width=out,
        stride=(stride, stride),
        padding=(padding,) * 4,
    )
    return conv_layer("conv", conv, draw(st.sampled_from([8, 24])), groups=groups)


def machine(name: str) -> HardwareModel:
    """A bundled machine."""
    return load_hardware(name)


def faster(hardware: HardwareModel, factor: float) -> HardwareModel:
    """The machine with its clock and every bandwidth multiplied, and every fixed time divided, by
    ``factor``.
    """
    return _scaled(hardware, factor)


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_scaled(item, factor) for item in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in dataclasses.fields(value):
        if field.name == "sources":
            continue
        old = getattr(value, field.name)
        if isinstance(old, int | float) and not isinstance(old, bool):
            if field.name.endswith(("_per_s", "_hz")):
                changes[field.name] = old * factor
            elif field.name.endswith("_s"):
                changes[field.name] = old / factor
        else:
            changes[field.name] = _scaled(old, factor)
    return dataclasses.replace(value, **changes)
