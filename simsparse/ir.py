"""What is computed: layers and workloads.

One orientation everywhere: ``Y[m, n] = W[m, k] · X[k, n]``. W is prunable and N:M groups run along k. A
convolution is this product with m = output channels, k = input channels per group × kernel positions
(channel slowest, then kernel row, then kernel column) and n = output positions × batch.

A layer of ``groups`` g > 1 is g independent products side by side: rows ``[i·m/g, (i+1)·m/g)`` of W meet
their own X of shape (k, n). ``m`` counts the rows of all groups, so the MACs are always m·k·n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError

WeightArray = NDArray[np.floating]


@runtime_checkable
class ZerosKnown(Protocol):
    """A mapping of weights that can say where they are not zero without converting them."""

    def nonzero(self, name: str) -> NDArray[np.bool_]:
        """True where the weights ``(m, k)`` of layer ``name`` are not zero."""


class LayerKind(StrEnum):
    """What a layer does; the first three are matrix products."""

    CONV = "conv"
    LINEAR = "linear"
    MATMUL = "matmul"  # activation × activation, as in attention; holds no weights
    ELEMENTWISE = "elementwise"  # add, mul, bias, residual …
    ACTIVATION = "activation"  # relu, gelu, sigmoid …
    NORMALIZATION = "normalization"
    SOFTMAX = "softmax"
    POOL = "pool"
    MOVEMENT = "movement"  # concat, transpose, gather: bytes move, nothing is computed

    @property
    def is_product(self) -> bool:
        """Whether the layer is a matrix product."""
        return self in _PRODUCTS

    @property
    def has_weights(self) -> bool:
        """Whether the layer holds a prunable weight matrix."""
        return self in (LayerKind.CONV, LayerKind.LINEAR)


_PRODUCTS = frozenset({LayerKind.CONV, LayerKind.LINEAR, LayerKind.MATMUL})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """Geometry of a 2-D convolution (1-D has height 1); ``padding`` is (top, left, bottom, right)."""

    batch: int
    in_channels: int
    in_height: int
    in_width: int
    kernel_height: int
    kernel_width: int
    out_height: int
    out_width: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        sizes = (
            self.batch,
            self.in_channels,
            self.in_height,
            self.in_width,
            self.kernel_height,
            self.kernel_width,
        )
        if (
            min(*sizes, self.out_height, self.out_width, *self.stride, *self.dilation) < 1
            or min(self.padding) < 0
        ):
            raise ShapeError(f"convolution: expected sizes >= 1 and padding >= 0, got {self}")

    @property
    def positions(self) -> int:
        """Output positions × batch: the n of the product."""
        return self.batch * self.out_height * self.out_width


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer. For products ``m, k, n`` are set; for others they are 0 and ``operations`` counts the work.

    ``input_elements`` and ``output_elements`` are the activations read and written once, whole batch, without
    im2col repetition; for a MATMUL both operands are inputs. ``count`` identical layers share one entry;
    every figure here is for one of them. ``heads`` with ``head_axis`` says along which axis of W (``"m"``
    or ``"k"``) attention heads lie, for head pruning.
    """

    name: str
    kind: LayerKind
    m: int = 0
    k: int = 0
    n: int = 0
    groups: int = 1
    conv: ConvShape | None = None
    count: int = 1
    input_elements: int
    output_elements: int
    operations: int = 0
    heads: int = 0
    head_axis: str = "m"
    transposes: bool = False
    """Whether a movement reads along another axis than it writes."""

    def __post_init__(self) -> None:
        if self.kind.is_product and min(self.m, self.k, self.n) < 1:
            raise ShapeError(f"layer {self.name}: expected m, k, n >= 1, got {self.m}, {self.k}, {self.n}")
        if self.groups < 1 or (self.kind.is_product and self.m % self.groups):
            raise ShapeError(
                f"layer {self.name}: expected m divisible by groups, got m={self.m}, groups={self.groups}"
            )
        if self.count < 1 or min(self.input_elements, self.output_elements, self.operations) < 0:
            raise ShapeError(f"layer {self.name}: expected count >= 1 and element counts >= 0")

    @property
    def macs(self) -> int:
        """Multiply-adds of the dense product; 0 for layers that are no product."""
        return self.m * self.k * self.n

    @property
    def weight_elements(self) -> int:
        """Weights of one instance; 0 where the layer holds none."""
        return self.m * self.k if self.kind.has_weights else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A part of a model that cannot be simulated, and the share of the model's MACs it holds (0 if
    unknown).
    """

    name: str
    reason: str
    macs_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model as a list of layers in execution order.

    ``weights`` maps layer names to (m, k) arrays where the model brought its own; zeros in them are its
    pruning. Layers without an entry get seeded weights. The mapping may load lazily.
    """

    name: str
    layers: tuple[Layer, ...]
    source: str
    batch: int = 1
    weights: Mapping[str, WeightArray] = field(default_factory=dict, compare=False, repr=False)
    unsupported: tuple[Unsupported, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ShapeError(
                f"workload {self.name}: expected unique layer names, got twice: {', '.join(twice[:5])}"
            )

    @property
    def macs(self) -> int:
        """Multiply-adds of all layers, dense."""
        return sum(layer.macs * layer.count for layer in self.layers)


def gemm_layer(name: str, m: int, k: int, n: int, **changes: Any) -> Layer:
    """A linear layer ``Y[m, n] = W[m, k] · X[k, n]``.

    >>> gemm_layer("fc", 10, 20, 3).macs
    600
    """
    return Layer(
        name=name,
        kind=LayerKind.LINEAR,
        m=m,
        k=k,
        n=n,
        input_elements=k * n,
        output_elements=m * n,
        **changes,
    )


def conv_layer(name: str, conv: ConvShape, out_channels: int, *, groups: int = 1) -> Layer:
    """A convolution layer of ``out_channels`` filters; ``groups`` as in grouped and depthwise convolution.

    Raises
    ------
    ShapeError
        If channels are not divisible by ``groups``.
    """
    if conv.in_channels % groups or out_channels % groups:
        raise ShapeError(
            f"layer {name}: expected channels divisible by groups={groups},"
            f" got {conv.in_channels} in, {out_channels} out"
        )
    return Layer(
        name=name,
        kind=LayerKind.CONV,
        m=out_channels,
        k=conv.in_channels // groups * conv.kernel_height * conv.kernel_width,
        n=conv.positions,
        groups=groups,
        conv=conv,
        input_elements=conv.batch * conv.in_channels * conv.in_height * conv.in_width,
        output_elements=out_channels * conv.positions,
    )
