"""Criteria: two built in, found by name, and a seam for others."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

from simsparse.errors import UnknownNameError
from simsparse.ir import gemm_layer
from simsparse.pruning.criteria import CRITERIA, find_criterion
from simsparse.pruning.criterion import Criterion
from simsparse.pruning.weights import seeded_weights

LAYER = gemm_layer("a", 60, 70, 1)


def refuse() -> np.ndarray:
    raise AssertionError("weights were asked for")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_magnitude_is_the_absolute_value(dtype: type) -> None:
    weights = np.linspace(-2, 2, 9).reshape(3, 3).astype(dtype)
    scores = find_criterion("magnitude").score(gemm_layer("a", 3, 3, 1), lambda: weights, 0)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, np.abs(weights.astype(np.float32)))


def test_magnitude_overwrites_what_is_spare_and_nothing_else() -> None:
    layer = gemm_layer("a", 2, 2, 1)
    magnitude = find_criterion("magnitude")
    kept = np.array([[-1, 2], [3, -4]], np.float32)
    kept.flags.writeable = False
    assert not np.shares_memory(magnitude.score(layer, lambda: kept, 0), kept)
    spare = kept.copy()
    assert np.shares_memory(magnitude.score(layer, lambda: spare, 0), spare)


def test_random_is_uniform_and_needs_no_weights() -> None:
    scores = find_criterion("random").score(LAYER, refuse, 4)
    np.testing.assert_array_equal(scores, find_criterion("random").score(LAYER, refuse, 4))
    assert not np.array_equal(scores, find_criterion("random").score(LAYER, refuse, 5))
    assert stats.kstest(scores.reshape(-1), "uniform").pvalue > 0.001


def test_random_is_independent_of_the_seeded_weights() -> None:
    scores = find_criterion("random").score(LAYER, refuse, 4).reshape(-1)
    magnitudes = np.abs(seeded_weights(LAYER, 4)).reshape(-1)
    assert stats.spearmanr(scores, magnitudes).pvalue > 0.001


def test_every_criterion_keeps_the_contract() -> None:
    for name, criterion in CRITERIA.items():
        scores = criterion.score(LAYER, lambda: seeded_weights(LAYER, 0), 0)
        assert (name, scores.shape, scores.dtype) == (criterion.name, (60, 70), np.dtype(np.float32))
        assert scores.min() >= 0
        assert str(criterion) == name


def test_a_criterion_passes_through_and_a_wrong_name_is_told() -> None:
    own = Criterion(name="own", about="a test", score=lambda layer, weights, seed: np.abs(weights()))  # noqa: ARG005
    assert find_criterion(own) is own
    with pytest.raises(UnknownNameError, match='criterion: expected a known name, got "magnitud"'):
        find_criterion("magnitud")
