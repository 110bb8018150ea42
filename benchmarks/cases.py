"""The grid: shapes, sparsities and patterns of weights, made from seeds; products and convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from simsparse.ir import ConvShape
from simsparse.kernels.host_loops import aligned

SPMM_SHAPES = (
    (1024, 1024, 128),
    (3072, 768, 128),
    (4096, 1024, 256),
    (512, 4608, 196),
    (256, 2304, 784),
)
NARROW_SHAPE = (4096, 4096, 16)
GEMV_SHAPE = (4096, 4096, 1)
CONV_SHAPES = (
    (64, 64, 56, 3, 1),
    (128, 128, 56, 3, 2),
    (128, 128, 28, 3, 1),
    (256, 256, 14, 3, 1),
    (512, 512, 7, 3, 1),
    (256, 64, 56, 1, 1),
    (1024, 256, 14, 1, 1),
    (512, 2048, 7, 1, 1),
)
"""Channels in and out, side of the image, side of the window, stride: layers of ResNet-50."""
DEPTHWISE_SHAPES = ((144, 56, 1), (192, 56, 2), (576, 14, 1))
"""Channels, side of the image, stride: 3x3 layers of MobileNetV2."""
CONV_SPARSITIES = (0.75, 0.9)
SPARSITIES = (0.5, 0.75, 0.9, 0.95, 0.98)
PATTERNS = ("random", "skewed", "4x1")
"""Those that take any sparsity; 2:4 comes on top."""
SKEW = 1.0
"""Standard deviation of the logarithm of a row's density."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One product ``Y[m, n] = W[m, k] · X[k, n]`` with a pattern of W; ``sparsity`` is the share removed.

    A convolution has a ``conv``: m are its outputs of all ``groups``, k the inputs of one of them.
    """

    m: int
    k: int
    n: int
    pattern: str
    sparsity: float
    conv: ConvShape | None = None
    groups: int = 1

    @property
    def kind(self) -> str:
        """``conv``, ``gemv``, ``narrow`` (fewer than 128 columns) or ``spmm``."""
        if self.conv is not None:
            return "conv"
        return "gemv" if self.n == 1 else "narrow" if self.n < 128 else "spmm"

    @property
    def shape(self) -> str:
        """The three sizes as text; of a convolution channels, window, image and stride."""
        conv = self.conv
        if conv is None:
            return f"{self.m}x{self.k}x{self.n}"
        stride = f"/{conv.stride[0]}" if conv.stride[0] > 1 else ""
        channels = f"dw{self.m}" if self.groups > 1 else f"{conv.in_channels}>{self.m}"
        return f"{channels} {conv.kernel_height}x{conv.kernel_width}@{conv.in_height}{stride}"

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Of the input as our product takes it."""
        conv = self.conv
        if conv is not None:
            return 1, conv.in_channels, conv.in_height, conv.in_width
        return (self.k,) if self.n == 1 else (self.k, self.n)

    @property
    def x_elements(self) -> int:
        """Elements of the input, each counted once."""
        return math.prod(self.x_shape)

    @property
    def dense_bytes(self) -> int:
        """Bytes of weights, input and output in fp32."""
        return 4 * (self.m * self.k + self.x_elements + self.m * self.n)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operands:
    """The arrays of a case: weights (m, k) and their mask, x of the case's ``x_shape``."""

    case: Case
    weights: NDArray[np.float32]
    mask: NDArray[np.bool_]
    x: NDArray[np.float32]
    reference: NDArray[np.float64]
    bound: NDArray[np.float64]
    """How far any order of summing in fp32 may end from the reference."""

    @property
    def nnz(self) -> int:
        """Weights kept."""
        return int(self.mask.sum())

    def new_y(self) -> NDArray[np.float32]:
        """An aligned array for the result, filled with NaN."""
        y = aligned(self.reference.shape)
        y.fill(np.nan)
        return y

    def correct(self, y: NDArray[np.float32]) -> bool:
        """Whether ``y`` is the product within rounding."""
        return y.shape == self.reference.shape and bool(np.all(np.abs(y - self.reference) <= self.bound))


def grid(*, quick: bool) -> Iterator[Case]:
    """All cases, or a subset that takes less than a minute."""
    shapes = SPMM_SHAPES[:1] if quick else SPMM_SHAPES
    sparsities = (0.5, 0.9) if quick else SPARSITIES
    for m, k, n in (*shapes, NARROW_SHAPE, GEMV_SHAPE):
        if quick and (m, k, n) == NARROW_SHAPE:
            continue
        for pattern in PATTERNS:
            for sparsity in sparsities:
                yield Case(m=m, k=k, n=n, pattern=pattern, sparsity=sparsity)
        yield Case(m=m, k=k, n=n, pattern="2:4", sparsity=0.5)
    yield from conv_grid(quick=quick)


def conv_grid(*, quick: bool) -> Iterator[Case]:
    """The convolutions: random weights, and skewed ones where windows are 3x3; depthwise ones are dense."""
    if quick:
        yield conv_case(256, 256, 14, 3, 1, "random", 0.9)
        return
    for shape in CONV_SHAPES:
        for sparsity in CONV_SPARSITIES:
            yield conv_case(*shape, "random", sparsity)
        if shape[3] == 3:
            yield conv_case(*shape, "skewed", 0.9)
    for channels, side, stride in DEPTHWISE_SHAPES:
        yield conv_case(channels, channels, side, 3, stride, "random", 0.0, groups=channels)


def conv_case(
    channels: int, m: int, side: int, window: int, stride: int, pattern: str, sparsity: float, groups: int = 1
) -> Case:
    """A square convolution whose output covers its input."""
    around, out = window // 2, -(-side // stride)
    conv = ConvShape(
        batch=1,
        in_channels=channels,
        in_height=side,
        in_width=side,
        kernel_height=window,
        kernel_width=window,
        out_height=out,
        out_width=out,
        stride=(stride, stride),
        padding=(around,) * 4,
    )
    k = channels // groups * window**2
    return Case(m=m, k=k, n=out**2, pattern=pattern, sparsity=sparsity, conv=conv, groups=groups)


def make_operands(case: Case, seed: int = 0) -> Operands:
    """Weights and activations of a case, and what their product must be."""
    generator = np.random.default_rng(seed)
    mask = make_mask(case, generator)
    weights = aligned((case.m, case.k))
    np.copyto(weights, generator.standard_normal((case.m, case.k), np.float32) * mask)
    x = aligned(case.x_shape)
    np.copyto(x, generator.standard_normal(x.shape, np.float32))
    multiply = np.matmul if case.conv is None else convolution(case.conv, case.groups)
    magnitude = multiply(np.abs(weights), np.abs(x)).astype(np.float64)
    bound = 1.01 * (int(mask.sum(axis=1).max()) + 2) * float(np.finfo(np.float32).eps) * magnitude
    reference = multiply(weights.astype(np.float64), x.astype(np.float64))
    return Operands(case=case, weights=weights, mask=mask, x=x, reference=reference, bound=bound + 1e-30)


def convolution(conv: ConvShape, groups: int) -> Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]:
    """The function of weights (m, k) and x (1, channels, height, width) that convolves by a plain im2col."""
    top, left, bottom, right = conv.padding
    window = (conv.kernel_height, conv.kernel_width)

    def convolve(weights: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        padded = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
        seen = sliding_window_view(padded, window, axis=(1, 2))[:, :: conv.stride[0], :: conv.stride[1]]
        columns = seen.transpose(0, 3, 4, 1, 2).reshape(groups, -1, conv.out_height * conv.out_width)
        rows = weights.reshape(groups, -1, weights.shape[1])
        return (rows @ columns).reshape(1, -1, conv.out_height, conv.out_width)

    return convolve


def make_mask(case: Case, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which weights (m, k) are kept."""
    m, k, density = case.m, case.k, 1 - case.sparsity
    if case.pattern == "random":
        return generator.random((m, k)) < density
    if case.pattern == "skewed":
        return generator.random((m, k)) < skewed_densities(m, density, generator)[:, None]
    if case.pattern == "4x1":
        return np.repeat(generator.random((m // 4, k)) < density, 4, axis=0)
    groups = generator.random((m, k // 4, 4))
    return (groups.argsort(axis=2).argsort(axis=2) < 2).reshape(m, k)


def skewed_densities(rows: int, density: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Lognormal densities of rows, cut off at 1, that have the wanted mean."""
    raw = generator.lognormal(0.0, SKEW, rows)
    low, high = 0.0, 1.0 / float(raw.min())
    for _ in range(60):
        middle = (low + high) / 2
        if np.minimum(raw * middle, 1.0).mean() < density:
            low = middle
        else:
            high = middle
    return np.minimum(raw * high, 1.0)
