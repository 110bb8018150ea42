"""What depthwise convolutions cost on this host: our kernels on planes of all sizes, at strides 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.cpu_dense import dense_work
from simsparse.dataflows.cpu_work import Product, join, layer_cycles
from simsparse.formats import encode
from simsparse.hardware import CpuRowsParameters
from simsparse.ir import ConvShape, conv_layer
from simsparse.measure.calibrate_fit import Scale, scatter
from simsparse.measure.fit import Constant, fit
from simsparse.measure.timing import Call, Timer, Timing
from simsparse.packed import prepare_conv
from simsparse.plan import FloatArray

_PLANES = ((32, 112), (64, 56), (256, 28), (512, 14))
_WINDOW = 3
CONSTANTS = (
    Constant(path="dense.direct_vector", spread=0.7),
    Constant(path="dense.direct_strided", spread=0.5),
    Constant(path="dense.direct_plane", spread=1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCase:
    """A depthwise 3x3 convolution of one image, of as many rows as columns, padded by one pixel."""

    channels: int
    size: int
    stride: int

    @property
    def conv(self) -> ConvShape:
        """The shape in full."""
        out = (self.size - 1) // self.stride + 1
        return ConvShape(
            batch=1, in_channels=self.channels, in_height=self.size, in_width=self.size,
            kernel_height=_WINDOW, kernel_width=_WINDOW, out_height=out, out_width=out,
            stride=(self.stride, self.stride), padding=(1, 1, 1, 1),
        )  # fmt: skip

    @property
    def product(self) -> Product:
        """The case as the model takes it."""
        layer = conv_layer("depthwise", self.conv, self.channels, groups=self.channels)
        return Product(
            m=layer.m,
            k=layer.k,
            n=layer.n,
            groups=layer.groups,
            inputs=layer.input_elements,
            strided=self.stride > 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSample:
    """One thread's time in one case, right after the same call."""

    case: DirectCase
    timing: Timing


def direct_cases() -> tuple[DirectCase, ...]:
    """Planes from twice the L1 down to a few lines."""
    return tuple(
        DirectCase(channels=channels, size=size, stride=stride)
        for channels, size in _PLANES
        for stride in (1, 2)
    )


def direct_call(case: DirectCase) -> Call:
    """The convolution with bias and ReLU6, its weights and images in memory."""
    generator = np.random.default_rng(case.channels)
    weights = generator.standard_normal((case.channels, _WINDOW**2)).astype(np.float32)
    bias = generator.standard_normal(case.channels).astype(np.float32)
    conv = case.conv
    packed = prepare_conv(
        encode(weights, "dense"), conv, groups=case.channels, bias=bias, activation="relu6", threads=1
    )
    x = generator.standard_normal((1, case.channels, case.size, case.size)).astype(np.float32)
    return packed.bind(x, np.zeros((1, case.channels, conv.out_height, conv.out_width), np.float32))


def time_direct(timer: Timer, calls: Mapping[DirectCase, Call]) -> list[DirectSample]:
    """One pass over all cases, one after the other: together they would not fit the caches."""
    return [DirectSample(case=case, timing=timer.measure({"it": call})["it"]) for case, call in calls.items()]


def with_direct(
    machine: CpuRowsParameters, scale: Scale, samples: Sequence[DirectSample]
) -> CpuRowsParameters:
    """The constants of direct convolutions that meet these timings best."""
    work = join([dense_work(machine, sample.case.product, direct=True) for sample in samples])
    timings = [sample.timing for sample in samples]

    def predict(tried: CpuRowsParameters) -> FloatArray:
        return layer_cycles(work, tried, scale.memory(tried, 1)) / scale.clock_hz

    return fit(
        machine,
        CONSTANTS,
        predict,
        np.array([timing.time_s for timing in timings]),
        scatter(timings),
        np.array([not timing.gated for timing in timings]),
    ).parameters
