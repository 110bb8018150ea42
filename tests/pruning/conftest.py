"""Small workloads for the pruning tests, and layers of networks that profiles were published for."""

from __future__ import annotations

import pytest

from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer


def conv(name: str, c_in: int, c_out: int, kernel: int, size: int = 8, groups: int = 1) -> Layer:
    shape = ConvShape(
        batch=1, in_channels=c_in, in_height=size, in_width=size, kernel_height=kernel, kernel_width=kernel,
        out_height=size, out_width=size, padding=(kernel // 2,) * 4,
    )  # fmt: skip
    return conv_layer(name, shape, c_out, groups=groups)


@pytest.fixture
def small() -> Workload:
    """Convolution, depthwise convolution, pointwise convolution, linear, ReLU-like nothing else."""
    layers = (
        conv("conv1", 3, 16, 3),
        conv("dw", 16, 16, 3, groups=16),
        conv("pw", 16, 64, 1),
        gemm_layer("fc", 40, 64, 2),
    )
    return Workload(name="small", layers=layers, source="a test")


@pytest.fixture(scope="session")
def resnet50() -> Workload:
    """All 54 weight layers of ResNet-50 v1, built from its stage table (He et al. 2016, table 1)."""
    layers, c_in = [conv("conv1", 3, 64, 7)], 64
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), 1):
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            layers += [
                conv(f"{prefix}.conv1", c_in, width, 1),
                conv(f"{prefix}.conv2", width, width, 3),
                conv(f"{prefix}.conv3", width, 4 * width, 1),
            ]
            if block == 0:
                layers.append(conv(f"{prefix}.downsample", c_in, 4 * width, 1))
            c_in = 4 * width
    return Workload(name="resnet50", layers=(*layers, gemm_layer("fc", 1000, 2048, 1)), source="a test")


@pytest.fixture(scope="session")
def alexnet() -> Workload:
    """AlexNet as in Caffe: conv2, conv4 and conv5 in two groups (Krizhevsky et al. 2012)."""
    layers = (
        conv("conv1", 3, 96, 11),
        conv("conv2", 96, 256, 5, groups=2),
        conv("conv3", 256, 384, 3),
        conv("conv4", 384, 384, 3, groups=2),
        conv("conv5", 384, 256, 3, groups=2),
        gemm_layer("fc6", 4096, 9216, 1),
        gemm_layer("fc7", 4096, 4096, 1),
        gemm_layer("fc8", 1000, 4096, 1),
    )
    return Workload(name="alexnet", layers=layers, source="a test")
