"""The documented error bounds of narrow weights."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simsparse.errors import FormatError, ShapeError
from simsparse.packed.gemv_quantise import quantise

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=FLOATS)


@settings(max_examples=100, deadline=None)
@given(weights=MATRICES, seed=st.integers(0, 99))
def test_int8_is_within_half_a_step(weights, seed):
    mask = np.random.default_rng(seed).random(weights.shape) < 0.7
    values, scale = quantise(weights, mask, "int8")
    restored = values.astype(np.float64) * scale[:, None]
    error = np.abs(restored - np.where(mask, weights, 0))
    assert values.dtype == np.int8
    assert np.all(error <= scale[:, None] * (0.5 + 2.0**-15))
    assert not values[~mask].any()


@settings(max_examples=100, deadline=None)
@given(weights=MATRICES)
def test_bf16_is_within_its_unit_roundoff(weights):
    values, scale = quantise(weights, np.ones(weights.shape, bool), "bf16")
    restored = values.view(ml_dtypes.bfloat16).astype(np.float64)
    assert np.all(
        np.abs(restored - weights) <= np.maximum(np.abs(weights.astype(np.float64)) * 2.0**-8, 2.0**-134)
    )
    assert np.all(scale == 1)


def test_fp32_is_exact():
    weights = np.array([[1.1, -0.0], [np.nan, np.inf]], np.float32)
    values, scale = quantise(weights, np.ones((2, 2), bool), "fp32")
    assert values.tobytes() == weights.tobytes()
    assert np.all(scale == 1)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_int8_refuses_what_it_cannot_hold(special):
    weights = np.array([[1.0, special]], np.float32)
    with pytest.raises(FormatError, match="finite weights for int8"):
        quantise(weights, np.ones((1, 2), bool), "int8")
    assert quantise(weights, np.array([[True, False]]), "int8")[0].tolist() == [[127, 0]]


def test_shapes_must_match():
    with pytest.raises(ShapeError, match=r"mask of the weights' shape \(1, 2\), got \(2, 1\)"):
        quantise(np.ones((1, 2)), np.ones((2, 1), bool), "fp32")
