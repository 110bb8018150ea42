"""Seeded weights: He-scaled, the same whoever asks in whatever order, never exactly zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import ShapeError, UsageError
from simsparse.ir import Layer, LayerKind, gemm_layer
from simsparse.pruning import weights as module
from simsparse.pruning.weights import seeded_weights


@given(m=st.integers(1, 40), k=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_the_same_in_any_order(m: int, k: int, seed: int) -> None:
    first, second = gemm_layer("a", m, k, 1), gemm_layer("b", m, k, 1)
    once = seeded_weights(first, seed)
    other = seeded_weights(second, seed)
    assert once.shape == (m, k)
    assert once.dtype == np.float32
    np.testing.assert_array_equal(once, seeded_weights(first, seed))
    assert not np.array_equal(once, other)
    assert not np.array_equal(once, seeded_weights(first, seed + 1))


def test_he_scale() -> None:
    weights = seeded_weights(gemm_layer("a", 500, 800, 1), 3).astype(np.float64)
    expected = (2 / 800) ** 0.5
    assert weights.std() == pytest.approx(expected, rel=0.005)  # standard error 0.0011
    assert abs(weights.mean()) < 5 * expected / weights.size**0.5
    assert np.mean(np.abs(weights) < expected) == pytest.approx(0.6827, abs=0.004)


def test_blocks_do_not_change_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = gemm_layer("a", 37, 11, 1)
    whole = seeded_weights(layer, 5)
    monkeypatch.setattr(module, "_IN_CACHE", 30)
    np.testing.assert_array_equal(seeded_weights(layer, 5), whole)
    stream = module.layer_generator(layer, 5).standard_normal((37, 11), dtype=np.float32)
    np.testing.assert_array_equal(whole, stream * np.float32((2 / 11) ** 0.5))


def test_no_weight_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zeros:
        def standard_normal(self, *, out: np.ndarray, dtype: type) -> None:  # noqa: ARG002
            out[:] = 0

    monkeypatch.setattr(module, "layer_generator", lambda layer, seed: Zeros())  # noqa: ARG005
    assert np.all(seeded_weights(gemm_layer("a", 3, 5, 1), 0) > 0)


def test_a_layer_without_weights_is_refused() -> None:
    layer = Layer(name="qk", kind=LayerKind.MATMUL, m=2, k=2, n=2, input_elements=8, output_elements=4)
    with pytest.raises(ShapeError, match="layer qk: expected a layer with weights, got kind matmul"):
        seeded_weights(layer, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed: expected an integer >= 0, got -1"):
        seeded_weights(gemm_layer("a", 1, 1, 1), -1)
