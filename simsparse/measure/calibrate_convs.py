"""What convolutions cost on this host beyond their products: windows, strides, and depthwise kernels.

Sparse ones keep few weights, so that filling tiles from an image is most of what they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simsparse.dataflows.cpu_dense import dense_work
from simsparse.dataflows.cpu_rows import layer_product, make_work
from simsparse.dataflows.cpu_work import Work, join
from simsparse.dataflows.task import WeightOperand
from simsparse.formats import encode
from simsparse.hardware import CpuRowsParameters
from simsparse.ir import ConvShape, Layer, conv_layer
from simsparse.measure.calibrate_fit import Scale, fit_works
from simsparse.measure.fit import Constant
from simsparse.measure.timing import Call, Timer, Timing
from simsparse.packed import prepare_conv

CONSTANTS = (
    Constant(path="dense.direct_few", spread=0.3),
    Constant(path="dense.direct_vector", spread=0.7),
    Constant(path="dense.direct_strided", spread=0.5),
    Constant(path="dense.direct_plane", spread=1.0),
    Constant(path="panel.gather_row", spread=1.0),
    Constant(path="panel.gather_piece", spread=1.0),
    Constant(path="panel.gather", spread=0.5),
    Constant(path="panel.split", spread=0.7),
)
_DENSITY = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvCase:
    """A convolution of one image of as many rows as columns, by a kernel of ``packed.prepare_conv``."""

    kernel: str
    channels: int
    rows: int
    """Output channels."""
    size: int
    window: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def conv(self) -> ConvShape:
        """The shape in full."""
        out = (self.size + 2 * self.padding - self.window) // self.stride + 1
        return ConvShape(
            batch=1, in_channels=self.channels, in_height=self.size, in_width=self.size,
            kernel_height=self.window, kernel_width=self.window, out_height=out, out_width=out,
            stride=(self.stride, self.stride), padding=(self.padding,) * 4,
        )  # fmt: skip

    @property
    def layer(self) -> Layer:
        """The case as a layer."""
        return conv_layer("case", self.conv, self.rows, groups=self.groups)

    @property
    def groups(self) -> int:
        """One per channel where the kernel is depthwise."""
        return self.channels if self.kernel == "depthwise" else 1

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which weights (rows, k) are kept: all for dense kernels, few for others, in fours for groups."""
        shape = self.layer.m, self.layer.k
        if self.kernel in ("depthwise", "direct"):
            return np.ones(shape, np.bool_)
        tall = 4 if self.kernel == "grouped" else 1
        generator = np.random.default_rng([self.channels, self.rows, self.size])
        return np.repeat(generator.random((shape[0] // tall, shape[1])) < _DENSITY, tall, axis=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvSample:
    """One thread's time in one case, right after the same call."""

    case: ConvCase
    timing: Timing


def conv_cases() -> tuple[ConvCase, ...]:
    """Depthwise ones from planes of twice the L1 to a few lines; windows and strides as in ResNet-50."""
    depthwise = (
        ConvCase(kernel="depthwise", channels=channels, rows=channels, size=size, stride=stride)
        for channels, size in ((32, 112), (64, 56), (256, 28), (512, 14))
        for stride in (1, 2)
    )
    return (
        *depthwise,
        ConvCase(kernel="direct", channels=3, rows=32, size=112, window=7, stride=2, padding=3),
        ConvCase(kernel="direct", channels=3, rows=32, size=112, stride=2),
        ConvCase(kernel="csr", channels=64, rows=64, size=56),
        ConvCase(kernel="grouped", channels=128, rows=128, size=28),
        ConvCase(kernel="csr", channels=256, rows=128, size=14),
        ConvCase(kernel="csr", channels=384, rows=64, size=7),
        ConvCase(kernel="csr", channels=64, rows=64, size=30, padding=0),
        ConvCase(kernel="csr", channels=128, rows=64, size=56, stride=2),
        ConvCase(kernel="grouped", channels=256, rows=128, size=28, stride=2),
        ConvCase(kernel="csr", channels=256, rows=64, size=56, window=1, stride=2, padding=0),
        ConvCase(kernel="csr", channels=512, rows=128, size=28, window=1, stride=2, padding=0),
    )


def conv_call(case: ConvCase) -> Call:
    """The convolution with bias and ReLU6, its weights and images in memory."""
    generator = np.random.default_rng(case.channels)
    mask, conv = case.mask, case.conv
    weights = generator.standard_normal(mask.shape).astype(np.float32) * mask
    bias = generator.standard_normal(case.rows).astype(np.float32)
    packed = prepare_conv(
        encode(weights, "csr", mask), conv, groups=case.groups, bias=bias, activation="relu6",
        threads=1, kernel=case.kernel,
    )  # fmt: skip
    x = generator.standard_normal((1, case.channels, case.size, case.size)).astype(np.float32)
    return packed.bind(x, np.zeros((1, case.rows, conv.out_height, conv.out_width), np.float32))


def conv_work(machine: CpuRowsParameters, case: ConvCase) -> Work:
    """The case as the model takes it."""
    product, mask = layer_product(case.layer), case.mask
    if case.kernel == "depthwise":
        return dense_work(machine, product, direct=True)
    if case.kernel == "direct":
        return dense_work(machine, product, few=True)
    return make_work(case.kernel, machine, product, WeightOperand(product.m, product.k, mask))


def time_convs(timer: Timer, calls: Mapping[ConvCase, Call]) -> list[ConvSample]:
    """One pass over all cases, one after the other: together they would not fit the caches."""
    return [ConvSample(case=case, timing=timer.measure({"it": call})["it"]) for case, call in calls.items()]


def with_convs(machine: CpuRowsParameters, scale: Scale, samples: Sequence[ConvSample]) -> CpuRowsParameters:
    """The constants of windows, strides and direct convolutions that meet these timings best."""
    kernels = dict.fromkeys(sample.case.kernel for sample in samples)
    ordered = [sample for kernel in kernels for sample in samples if sample.case.kernel == kernel]
    works: list[Work] = [
        join([conv_work(machine, sample.case) for sample in samples if sample.case.kernel == kernel])
        for kernel in kernels
    ]
    return fit_works(machine, CONSTANTS, scale, works, [sample.timing for sample in ordered])
