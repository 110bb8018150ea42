"""Criteria that look at data, on problems whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import ShapeError, UsageError
from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer
from simsparse.pattern import NM, Channel, Filter, Unstructured, parse_pattern
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.criteria import CRITERIA, criteria, find_criterion
from simsparse.pruning.data_criteria import DATA_CRITERIA
from simsparse.pruning.prune import prune
from simsparse.pruning.reconstruction import damped, reconstruct

LAYER = gemm_layer("fc", 12, 16, 3)


def data(**arrays: Any) -> Calibration:
    return Calibration(
        arrays={f"fc/{kind}": np.asarray(array) for kind, array in arrays.items()}, source="data.npz"
    )


def correlated(k: int, samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((k, k)) @ rng.standard_normal((k, samples)) + rng.standard_normal((k, 1))


def workload(layer: Layer, weights: np.ndarray) -> Workload:
    return Workload(name="w", layers=(layer,), source="a test", weights={layer.name: weights})


def grouped_conv() -> Layer:
    shape = ConvShape(
        batch=1,
        in_channels=8,
        in_height=5,
        in_width=5,
        kernel_height=3,
        kernel_width=3,
        out_height=3,
        out_width=3,
    )
    return conv_layer("fc", shape, 6, groups=2)


def scores(name: str, calibration: Calibration, weights: np.ndarray, layer: Layer = LAYER) -> np.ndarray:
    return find_criterion(name, calibration).score(layer, lambda: weights, 0)


def test_taylor_is_the_first_order_change_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((12, 16)).astype(np.float32)
    x, target = rng.standard_normal((16, 5)), rng.standard_normal((12, 5))
    loss = lambda w: 0.5 * np.square(w @ x - target).sum()  # noqa: E731
    found = scores("taylor", data(gradients=(weights @ x - target) @ x.T), weights)
    shrunk = weights.astype(np.float64)
    shrunk[3, 4] *= 1 - 1e-6  # the change is linear for a small step
    assert found[3, 4] == pytest.approx(abs(loss(shrunk) - loss(weights.astype(np.float64))) / 1e-6, rel=1e-4)


def test_obd_is_the_error_of_leaving_one_weight_out() -> None:
    rng = np.random.default_rng(1)
    weights, x = rng.standard_normal((12, 16)).astype(np.float32), correlated(16, 40, 2)
    found = scores("obd", data(inputs=x), weights)
    without = weights.astype(np.float64)
    without[5, 7] = 0
    assert found[5, 7] == pytest.approx(0.5 * np.square((weights - without) @ x).sum(), rel=1e-5)
    curvature = rng.random((12, 16))
    np.testing.assert_allclose(
        scores("obd", data(hessian_diagonal=curvature), weights), curvature * weights**2 / 2, rtol=1e-6
    )


def least_squares_without(row: np.ndarray, gram: np.ndarray, removed: int) -> np.ndarray:
    """The other weights that bring w'·X nearest to w·X, in the metric ``gram``."""
    rest = np.delete(np.arange(row.size), removed)
    answer = np.zeros(row.size)
    answer[rest] = np.linalg.solve(gram[np.ix_(rest, rest)], gram[rest] @ row)
    return answer


def test_obs_is_the_error_after_the_others_made_up_for_it() -> None:
    weights = np.random.default_rng(1).standard_normal((12, 16)).astype(np.float32)
    x = correlated(16, 40, 2)
    gram = damped(x @ x.T)
    found = scores("obs", data(inputs=x), weights)
    for row, column in ((0, 0), (5, 7), (11, 15)):
        w = weights[row].astype(np.float64)
        change = w - least_squares_without(w, gram, column)
        assert found[row, column] == pytest.approx(0.5 * change @ gram @ change, rel=1e-6)


def test_wanda_is_weight_times_norm_and_keeps_as_much_of_each_output() -> None:
    weights, x = np.random.default_rng(3).standard_normal((12, 16)).astype(np.float32), correlated(16, 9, 3)
    weights[0] *= 100  # would win every comparison between outputs
    found = scores("wanda", data(input_squares=np.square(x).sum(axis=1)), weights)
    np.testing.assert_allclose(found, np.abs(weights) * np.linalg.norm(x, axis=1), rtol=1e-6)
    mask = prune(
        workload(LAYER, weights), Unstructured(0.5), criterion="wanda", calibration=data(inputs=x)
    ).mask(LAYER)
    assert mask is not None
    assert (mask.sum(axis=1) == 8).all()
    assert found[mask].reshape(12, 8).min(axis=1).min() >= 0
    for row in range(12):
        assert found[row][mask[row]].min() >= found[row][~mask[row]].max()


@given(st.integers(2, 24), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_removing_the_first_column_repairs_by_constrained_least_squares(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, x = rng.standard_normal((3, k)).astype(np.float32), correlated(k, 3 * k, seed)
    keep = np.ones((3, k), np.bool_)
    keep[:, 0] = False
    repaired, mask = reconstruct(
        weights, x @ x.T, lambda start, stop, _: keep[:, start:stop], step=max(1, k // 2)
    )
    np.testing.assert_array_equal(mask, keep)
    for row in range(3):
        expected = least_squares_without(weights[row].astype(np.float64), damped(x @ x.T), 0)
        np.testing.assert_allclose(repaired[row], expected, rtol=2e-4, atol=2e-4)


@given(
    pattern=st.sampled_from(["unstructured:0.6", "2:4", "1:4", "v4:2:8", "block:4x1:0.5", "block:1x4:0.5"]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=20)
def test_sparsegpt_makes_smaller_errors_than_masks_alone(pattern: str, seed: int) -> None:
    layer = gemm_layer("fc", 24, 160, 1)
    weights = np.random.default_rng(seed).standard_normal((24, 160)).astype(np.float32)
    x = correlated(160, 400, seed)
    known, wanted = data(inputs=x), parse_pattern(pattern)
    error = {}
    for name in ("magnitude", "sparsegpt"):
        pruned = prune(
            workload(layer, weights),
            wanted,
            criterion=name,
            calibration=known if name == "sparsegpt" else None,
        )
        values, mask = pruned.weights_and_mask(layer)
        assert mask is not None
        np.testing.assert_array_equal(mask, pruned.mask(layer))
        assert mask.mean() == pytest.approx(1 - wanted.sparsity, abs=0.02)
        error[name] = np.square((np.where(mask, values, 0) - weights) @ x).sum()
    assert error["sparsegpt"] < error["magnitude"]


@pytest.mark.parametrize("pattern", [Channel(0.25), Filter(0.25)])
def test_sparsegpt_keeps_whole_structures_and_repairs_columns(pattern: Channel | Filter) -> None:
    layer = grouped_conv()
    weights = np.random.default_rng(0).standard_normal((6, 36)).astype(np.float32)
    known = data(inputs=np.concatenate([correlated(36, 90, 1), correlated(36, 90, 2)]))
    pruned = prune(workload(layer, weights), pattern, criterion="sparsegpt", calibration=known)
    values, mask = pruned.weights_and_mask(layer)
    assert mask is not None
    by_structure = mask.reshape(2, 3, 4, 9).all(axis=(1, 3)) if isinstance(pattern, Channel) else mask.all(1)
    assert by_structure.sum() == round(0.75 * by_structure.size)
    assert mask.mean() == by_structure.mean()
    expected = np.zeros(weights.shape)
    for group, rows in enumerate((slice(0, 3), slice(3, 6))):
        stays, gram = mask[rows].any(axis=0), damped(known.gram(layer)[group])
        inverse = np.linalg.inv(gram[np.ix_(stays, stays)])
        expected[rows, stays] = weights[rows] @ gram[:, stays] @ inverse
    np.testing.assert_allclose(values[mask], expected[mask], rtol=1e-4, atol=1e-5)
    if isinstance(pattern, Filter):  # rows do not depend on each other: nothing is to be repaired
        np.testing.assert_allclose(values[mask], weights[mask], rtol=1e-5)


def test_an_input_that_is_never_active_goes_first_and_breaks_nothing() -> None:
    weights, x = np.ones((12, 16), np.float32), correlated(16, 40, 5)
    x[3] = 0
    pruned = prune(
        workload(LAYER, weights), Unstructured(1 / 16), criterion="sparsegpt", calibration=data(inputs=x)
    )
    values, mask = pruned.weights_and_mask(LAYER)
    assert mask is not None
    assert not mask[:, 3].any()
    assert mask.sum() == 12 * 15
    np.testing.assert_array_equal(np.delete(values, 3, axis=1), np.delete(weights, 3, axis=1))


def test_given_masks_hold_with_and_without_a_pattern() -> None:
    gates = np.random.default_rng(0).random((12, 16))
    known = data(mask=gates)
    alone = prune(workload(LAYER, np.ones((12, 16))), criterion="given", calibration=known)
    np.testing.assert_array_equal(alone.mask(LAYER), gates.astype(np.float32) >= 0.5)
    with_pattern = prune(workload(LAYER, np.ones((12, 16))), NM(2, 4), criterion="given", calibration=known)
    mask = with_pattern.mask(LAYER)
    assert mask is not None
    groups = gates.reshape(-1, 4)
    assert np.where(mask, gates, 0).sum() == pytest.approx(np.sort(groups, axis=1)[:, 2:].sum())


def test_every_kind_derives_from_inputs() -> None:
    layer, x = grouped_conv(), correlated(72, 20, 0)
    inputs = data(inputs=x)
    gram = data(gram=np.stack([x[:36] @ x[:36].T, x[36:] @ x[36:].T]))
    np.testing.assert_allclose(inputs.gram(layer), gram.gram(layer))
    np.testing.assert_allclose(inputs.input_squares(layer), gram.input_squares(layer))
    assert inputs.curvature(layer).shape == (6, 36)


def test_criteria_that_need_data_say_so() -> None:
    for name in DATA_CRITERIA:
        with pytest.raises(UsageError, match=f"criterion {name}: expected calibration data, got none"):
            find_criterion(name)
    with pytest.raises(UsageError, match="calibration: expected a criterion that looks at data"):
        find_criterion("magnitude", data())
    assert set(criteria()) == {*CRITERIA, *DATA_CRITERIA}


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("taylor", {}, '"fc/…" of kind gradients, got none'),
        ("wanda", {}, "input_squares, gram or inputs, got none"),
        ("sparsegpt", {}, "gram or inputs, got none"),
        ("given", {}, '"fc/mask", got none'),
        ("taylor", {"gradients": np.ones((16, 12))}, r"fc/gradients: expected shape \(12, 16\), got"),
        ("wanda", {"inputs": np.ones((15, 4))}, r"expected shape \(16, samples\)"),
        ("wanda", {"input_squares": -np.ones(16)}, "expected sums of squares, got -1"),
        ("obd", {"hessian_diagonal": -np.ones((12, 16))}, "expected a Hessian diagonal >= 0"),
        ("taylor", {"gradients": np.full((12, 16), np.nan)}, "expected finite numbers"),
        ("taylor", {"gradients": np.full((12, 16), "a")}, "expected finite numbers, got <U1"),
        ("sparsegpt", {"gram": -np.eye(16)}, "expected X·Xᵀ"),
        ("given", {"mask": np.full((12, 16), 2.0)}, "expected a mask of 0 to 1"),
    ],
)
def test_damaged_data_are_refused_by_name(name: str, arrays: dict[str, np.ndarray], message: str) -> None:
    pruned = prune(
        workload(LAYER, np.ones((12, 16), np.float32)),
        Unstructured(0.5),
        criterion=name,
        calibration=data(**arrays),
    )
    with pytest.raises((UsageError, ShapeError), match=message):
        pruned.mask(LAYER)
