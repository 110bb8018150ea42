"""What a capture holds is what NumPy counts in the operands of the products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import FileError
from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer
from simsparse.load.activations_npz import load_activations
from simsparse.load.calibration_npz import load_calibration
from simsparse.measure.capture import Capture


def operand(layer: Layer, image: np.ndarray) -> np.ndarray:
    """The im2col matrix (groups · k, columns), entry by entry."""
    conv = layer.conv
    assert conv is not None
    top, left, bottom, right = conv.padding
    wide = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)))
    places = [
        (n, i, j) for n in range(len(image)) for i in range(conv.out_height) for j in range(conv.out_width)
    ]
    down, along = conv.stride
    deep, apart = conv.dilation
    return np.array(
        [
            [wide[n, channel, i * down + r * deep, j * along + s * apart] for n, i, j in places]
            for channel in range(conv.in_channels)
            for r in range(conv.kernel_height)
            for s in range(conv.kernel_width)
        ]
    )


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    groups, kernel = draw(st.integers(1, 2)), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(st.integers(5, 7), st.integers(5, 7)))
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    out = [
        (s + padding[i] + padding[i + 2] - (k - 1) * d - 1) // t + 1
        for i, (s, k, d, t) in enumerate(zip(size, kernel, dilation, stride, strict=True))
    ]
    conv = ConvShape(
        batch=2,
        in_channels=2 * groups,
        in_height=size[0],
        in_width=size[1],
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        out_height=out[0],
        out_width=out[1],
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return conv_layer("c", conv, 2 * groups, groups=groups)


@given(convolutions())
@settings(deadline=None, max_examples=30)
def test_convolutions_show_their_im2col_matrix(layer: Layer) -> None:
    conv = layer.conv
    assert conv is not None
    shape = (conv.batch, conv.in_channels, conv.in_height, conv.in_width)
    image = np.maximum(np.random.default_rng(0).standard_normal(shape), 0).astype(np.float32)
    capture = Capture(layers={"c": layer}, grams=True)
    capture.add("c", image)
    expected = operand(layer, image).astype(np.float64)
    seen = capture._seen["c"]
    np.testing.assert_allclose(seen.squares, np.square(expected).sum(axis=1))
    grouped = expected.reshape(layer.groups, layer.k, -1)
    np.testing.assert_allclose(seen.gram, grouped @ grouped.transpose(0, 2, 1), atol=1e-12)
    assert capture.densities["c"] == np.count_nonzero(image) / image.size


def test_linear_layers_add_up_and_come_back_from_the_file(tmp_path: Path) -> None:
    layer = gemm_layer("block/fc", 3, 4, 6)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    x[0, 0] = 0
    capture = Capture(layers={layer.name: layer}, grams=True)
    capture.add(layer.name, x)
    capture.add(layer.name, np.zeros((2, 3, 4), np.float32))
    capture.write(tmp_path / "x.npz")
    data = load_calibration(tmp_path / "x.npz")
    assert data is not None
    columns = x.reshape(-1, 4).T.astype(np.float64)
    np.testing.assert_allclose(data.gram(layer)[0], columns @ columns.T)
    np.testing.assert_allclose(data.input_squares(layer)[0], np.square(columns).sum(axis=1))
    known = load_activations(tmp_path / "x.npz", Workload(name="w", layers=(layer,), source="a test"))
    assert known.densities == {"block/fc": 20 / 24}  # of the mask, which is the first input's
    np.testing.assert_array_equal(known.masks["block/fc"].nonzero, x != 0)


def test_masks_are_left_out_when_they_would_be_too_large() -> None:
    layers = {name: gemm_layer(name, 3, 4, n) for name, n in (("a", 6), ("b", 600), ("c", 8))}
    capture = Capture(layers=layers, most_mask_bytes=8)
    for name, layer in layers.items():
        capture.add(name, np.ones((layer.n, 4), np.float32))
    assert {name: seen.mask is not None for name, seen in capture._seen.items()} == {
        "a": True,
        "b": False,
        "c": True,
    }
    assert capture.notes == (
        "the capture leaves out the input masks of b: all would take 307 B, and 8.00 B is the most"
        " (capture a smaller batch)",
    )
    assert Capture(layers=layers).notes == Capture(layers=layers, most_mask_bytes=0).notes == ()


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (4, 6), (4, 4)])
def test_masks_have_features_last(shape: tuple[int, ...]) -> None:
    layer = gemm_layer("fc", 3, 4, 24 // 4 if shape != (4, 4) else 4)
    x = np.maximum(np.random.default_rng(0).standard_normal(shape), 0).astype(np.float32)
    capture = Capture(layers={"fc": layer})
    capture.add("fc", x)
    mask = capture._seen["fc"].mask
    assert mask is not None
    expected = x.T if shape == (4, 6) else x
    np.testing.assert_array_equal(mask.nonzero, expected != 0)
    np.testing.assert_array_equal(mask.operand(layer), (expected != 0).reshape(-1, 4).T)


def test_what_does_not_look_like_the_layers_input_has_no_mask() -> None:
    capture = Capture(layers={"fc": gemm_layer("fc", 3, 4, 6)})
    capture.add("fc", np.ones((5, 7), np.float32))
    assert capture._seen["fc"].mask is None
    assert capture.densities["fc"] == 1.0


def test_gram_matrices_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    layer = gemm_layer("fc", 3, 4, 6)
    capture = Capture(layers={"fc": layer})
    capture.add("fc", np.ones((6, 4), np.float32))
    capture.add("relu", np.zeros((6, 4), np.float32))
    capture.write(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert sorted(file) == [
            "fc/density",
            "fc/input_mask",
            "fc/input_shape",
            "fc/input_squares",
            "relu/density",
        ]
    with pytest.raises(FileError, match="expected a writable file"):
        capture.write(tmp_path / "no" / "x.npz")
