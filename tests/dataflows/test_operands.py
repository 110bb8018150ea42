"""Operands: counts from masks agree with plain NumPy, and with im2col for convolutions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.dataflows.task import ActivationOperand, WeightOperand, effectual_macs
from simsparse.errors import ShapeError
from simsparse.ir import Layer, gemm_layer
from tests.laws.cases import convolutions


def im2col(tensor: np.ndarray, layer: Layer) -> np.ndarray:
    """(groups · k, n) inputs under each window, zero outside the image; plain slicing on a padded copy."""
    conv = layer.conv
    assert conv is not None
    top, left, bottom, right = conv.padding
    padded = np.pad(tensor, ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows = []
    for channel in range(conv.in_channels):
        for r in range(conv.kernel_height):
            for s in range(conv.kernel_width):
                window = padded[
                    :,
                    channel,
                    r * conv.dilation[0] : r * conv.dilation[0]
                    + conv.stride[0] * conv.out_height : conv.stride[0],
                    s * conv.dilation[1] : s * conv.dilation[1]
                    + conv.stride[1] * conv.out_width : conv.stride[1],
                ]
                rows.append(window[:, : conv.out_height, : conv.out_width].reshape(-1))
    return np.array(rows)


@settings(max_examples=40)
@given(convolutions(), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_stated_density_becomes_one_mask_seen_through_all_windows(
    layer: Layer, density: float, seed: int
) -> None:
    inputs = ActivationOperand(layer, density=density, seed=seed)
    size = inputs.tensor.size
    assert np.count_nonzero(inputs.tensor) == round(density * size)
    expected = im2col(inputs.tensor, layer)
    np.testing.assert_array_equal(inputs.row_nnz, expected.sum(axis=1).reshape(layer.groups, layer.k))
    for group in range(layer.groups):
        np.testing.assert_array_equal(
            inputs.columns(group), expected[group * layer.k : (group + 1) * layer.k].T
        )


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_counts_of_a_dense_operand_equal_those_of_a_full_mask(m: int, k: int, seed: int) -> None:
    full = WeightOperand(m, k, np.ones((m, k), dtype=np.bool_))
    dense = WeightOperand(m, k)
    assert dense.nnz == full.nnz
    assert dense.density == full.density == 1.0
    np.testing.assert_array_equal(dense.row_nnz, full.row_nnz)
    np.testing.assert_array_equal(dense.column_nnz(), full.column_nnz())
    random = np.random.default_rng(seed).random((m, k)) < 0.4
    kept = WeightOperand(m, k, random)
    np.testing.assert_array_equal(kept.row_nnz, random.sum(axis=1))
    np.testing.assert_array_equal(kept.column_nnz()[0], random.sum(axis=0))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_effectual_macs_are_the_products_of_two_nonzeros(m: int, k: int, n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights, inputs = generator.random((m, k)) < 0.5, generator.random((k, n)) < 0.5
    layer = gemm_layer("g", m, k, n)
    ours = effectual_macs(WeightOperand(m, k, weights), ActivationOperand(layer, mask=inputs), 1)
    assert ours == int((weights.astype(int) @ inputs.astype(int)).sum())


def test_masks_of_a_wrong_shape_are_refused() -> None:
    layer = gemm_layer("g", 2, 3, 4)
    with pytest.raises(ShapeError, match=r"expected shape \(2, 3\), got \(3, 2\)"):
        WeightOperand(2, 3, np.ones((3, 2), dtype=np.bool_))
    with pytest.raises(ShapeError, match=r"expected shape \(3, 4\)"):
        ActivationOperand(layer, mask=np.ones((4, 3), dtype=np.bool_))
    with pytest.raises(ShapeError, match=r"expected 0 to 1, got 1\.5"):
        ActivationOperand(layer, density=1.5)
