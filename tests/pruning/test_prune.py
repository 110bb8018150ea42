"""The door: which layers are pruned, by how much, with which notes; and that a model's own zeros stay."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import PatternError, ShapeError, UnknownNameError, UsageError
from simsparse.ir import Layer, LayerKind, Workload, gemm_layer
from simsparse.pattern import (
    NM,
    VNM,
    Block,
    Channel,
    Dense,
    Filter,
    Head,
    Pattern,
    Unstructured,
    parse_pattern,
)
from simsparse.pruning.criterion import Criterion
from simsparse.pruning.masks import prune_matrix
from simsparse.pruning.prune import is_depthwise, prune
from simsparse.pruning.pruned import Pruned
from simsparse.pruning.weights import seeded_weights


def one_layer(m: int = 8, k: int = 12, weights: np.ndarray | None = None, **changes: object) -> Workload:
    return Workload(
        name="one", layers=(gemm_layer("fc", m, k, 1, **changes),), source="a test",
        weights={} if weights is None else {"fc": weights},
    )  # fmt: skip


def shares(pruned: Pruned) -> dict[str, float]:
    return {layer.name: pruned.sparsity_of(layer) for layer in pruned.workload.layers}


@given(sparsity=st.floats(0, 1), seed=st.integers(0, 99))
def test_uniform_prunes_every_weight_layer_but_depthwise_ones(sparsity: float, seed: int) -> None:
    workload = one_layer()
    layer = workload.layers[0]
    pruned = prune(workload, Unstructured(sparsity), seed=seed)
    mask = pruned.mask(layer)
    assert mask is not None
    np.testing.assert_array_equal(
        mask, prune_matrix(np.abs(seeded_weights(layer, seed)), Unstructured(sparsity))
    )
    assert pruned.sparsity_of(layer) == 1 - mask.mean()


def test_depthwise_stays_dense_and_is_reported(small: Workload) -> None:
    pruned = prune(small, Unstructured(0.5))
    assert [is_depthwise(layer) for layer in small.layers] == [False, True, False, False]
    assert shares(pruned) == {"conv1": 0.5, "dw": 0.0, "pw": 0.5, "fc": 0.5}
    assert pruned.mask(small.layers[1]) is None
    assert "depthwise convolutions stay dense: dw" in pruned.notes


def test_seeded_weights_are_reported_and_shared(small: Workload) -> None:
    pruned = prune(small, NM(2, 4), seed=7)
    layer = small.layers[3]
    weights, mask = pruned.weights_and_mask(layer)
    np.testing.assert_array_equal(weights, seeded_weights(layer, 7))
    np.testing.assert_array_equal(weights, pruned.weights(layer))
    np.testing.assert_array_equal(mask, pruned.mask(layer))
    assert any(
        "weights of 3 of 3 pruned layers are normal draws from seed 7" in note for note in pruned.notes
    )


def test_padding_of_k_is_reported(small: Workload) -> None:
    notes = prune(small, NM(2, 4)).notes
    assert "2:4: the last group along k is shorter and padded with zeros: conv1 (k=27)" in notes
    notes = prune(small, VNM(32, 2, 8)).notes
    assert "v32:2:8: the last block of rows is shorter: conv1 (m=16), fc (m=40)" in notes


@pytest.mark.parametrize(
    "pattern",
    [Unstructured(0.7), NM(1, 4), Block(4, 1, 0.7), Filter(0.5), Channel(0.5), VNM(8, 2, 8)],
    ids=str,
)
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_the_same_seed_gives_the_same_masks_in_any_order(
    small: Workload, pattern: Pattern, criterion: str
) -> None:
    first, second = (prune(small, pattern, criterion=criterion, seed=3) for _ in range(2))
    forward = [first.mask(layer) for layer in small.layers]
    backward = [second.mask(layer) for layer in reversed(small.layers)]
    for a, b in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first == second
    other = prune(small, pattern, criterion=criterion, seed=4)
    assert any(not np.array_equal(a, other.mask(la)) for a, la in zip(forward, small.layers, strict=True))


@pytest.mark.parametrize("pattern", [None, Dense()])
def test_without_a_pattern_the_models_own_zeros_are_the_mask(pattern: Pattern | None) -> None:
    weights = np.where(np.arange(96).reshape(8, 12) % 3 == 0, 0.0, 1.0)
    pruned = prune(one_layer(weights=weights), pattern)
    layer = pruned.workload.layers[0]
    np.testing.assert_array_equal(pruned.mask(layer), weights != 0)
    assert pruned.sparsity_of(layer) == pytest.approx(1 / 3)
    assert pruned.notes == ()
    assert pruned.pattern == Dense()
    full = prune(one_layer(weights=np.ones((8, 12))), pattern)
    assert full.mask(layer) is None
    assert prune(one_layer(), pattern).mask(layer) is None


@given(seed=st.integers(0, 999), sparsity=st.floats(0, 1))
@pytest.mark.parametrize("pattern", [Unstructured(0.5), NM(2, 4), Filter(0.5)], ids=str)
def test_own_zeros_stay_removed_under_a_pattern(pattern: Pattern, seed: int, sparsity: float) -> None:
    weights = np.random.default_rng(seed).standard_normal((8, 12))
    weights[np.random.default_rng(seed + 1).random((8, 12)) < sparsity] = 0
    pruned = prune(one_layer(weights=weights), pattern)
    mask = pruned.mask(pruned.workload.layers[0])
    assert mask is not None
    alone = prune_matrix(np.abs(weights.astype(np.float32)), pattern)
    np.testing.assert_array_equal(mask, alone & (weights != 0))


def test_own_zeros_stay_in_skipped_layers() -> None:
    weights = np.eye(8, 12)
    pruned = prune(one_layer(weights=weights), Unstructured(0.5), skip=["f*"])
    np.testing.assert_array_equal(pruned.mask(pruned.workload.layers[0]), weights != 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_are_never_overwritten(dtype: type) -> None:
    own = -np.arange(1, 97, dtype=dtype).reshape(8, 12)
    before = own.copy()
    pruned = prune(one_layer(weights=own), Unstructured(0.5), allocation="global")
    layer = pruned.workload.layers[0]
    pruned.mask(layer)
    weights, _ = pruned.weights_and_mask(layer)
    np.testing.assert_array_equal(own, before)
    np.testing.assert_array_equal(weights, before)
    seeded = prune(one_layer(), Unstructured(0.5))
    weights, mask = seeded.weights_and_mask(layer)
    np.testing.assert_array_equal(weights, seeded_weights(layer, 0))
    np.testing.assert_array_equal(mask, seeded.mask(layer))


def test_weights_of_another_shape_are_refused() -> None:
    pruned = prune(one_layer(weights=np.ones((3, 3))), Unstructured(0.5))
    with pytest.raises(ShapeError, match=r"layer fc: expected weights of shape \(8, 12\), got \(3, 3\)"):
        pruned.mask(pruned.workload.layers[0])


def test_nan_weights_are_refused_by_name() -> None:
    pruned = prune(one_layer(weights=np.full((8, 12), np.nan)), Unstructured(0.5))
    with pytest.raises(UsageError, match="layer fc: expected saliency scores >= 0, got NaN"):
        pruned.mask(pruned.workload.layers[0])


def test_skip_takes_globs_and_tells_of_those_that_match_nothing(small: Workload) -> None:
    pruned = prune(small, Unstructured(0.5), skip=["conv*", "p?"])
    assert shares(pruned) == {"conv1": 0.0, "dw": 0.0, "pw": 0.0, "fc": 0.5}
    with pytest.raises(UsageError, match=r'skip: .* got "convv\*", which matches none \(try conv1\)'):
        prune(small, Unstructured(0.5), skip=["convv*"])


def test_layers_without_weights_have_no_mask() -> None:
    relu = Layer(name="relu", kind=LayerKind.ACTIVATION, input_elements=4, output_elements=4)
    workload = Workload(name="w", layers=(gemm_layer("fc", 4, 4, 1), relu), source="a test")
    pruned = prune(workload, Unstructured(0.5))
    assert pruned.mask(relu) is None
    assert pruned.sparsity_of(relu) == 0.0


def test_heads_prune_their_layers_and_leave_the_rest() -> None:
    layers = (gemm_layer("q", 16, 8, 2, heads=4), gemm_layer("o", 8, 16, 2, heads=4, head_axis="k"))
    workload = Workload(name="w", layers=(*layers, gemm_layer("fc", 8, 8, 2)), source="a test")
    pruned = prune(workload, Head(0.25))
    assert shares(pruned) == {"q": 0.25, "o": 0.25, "fc": 0.0}
    query, out = pruned.mask(layers[0]), pruned.mask(layers[1])
    assert query is not None
    assert out is not None
    assert sorted(query.reshape(4, -1).mean(axis=1)) == [0, 1, 1, 1]
    assert sorted(out.reshape(8, 4, 4).mean(axis=(0, 2))) == [0, 1, 1, 1]
    assert "head:0.25: layers without attention heads stay dense: fc" in pruned.notes
    with pytest.raises(PatternError, match=r"head:0\.5: expected a layer with attention heads, got none"):
        prune(one_layer(), Head(0.5))
    with pytest.raises(
        PatternError, match=r"layer fc: head:0\.5: expected heads >= 1 that divide m=8, got 3"
    ):
        prune(one_layer(heads=3), Head(0.5))


def test_channels_of_a_convolution_go_with_all_their_kernel_positions(small: Workload) -> None:
    mask = prune(small, Channel(1 / 3)).mask(small.layers[0])
    assert mask is not None
    assert sorted(mask.reshape(16, 3, 9).mean(axis=(0, 2))) == [0, 1, 1]


@pytest.mark.parametrize("allocation", ["erk", "global"])
@pytest.mark.parametrize("pattern", [Unstructured(0.6), Block(4, 1, 0.6), Filter(0.6)], ids=str)
def test_allocations_meet_the_same_budget(small: Workload, pattern: Pattern, allocation: str) -> None:
    pruned = prune(small, pattern, allocation=allocation)
    layers = [layer for layer in small.layers if layer.name != "dw"]
    kept = sum((1 - pruned.sparsity_of(layer)) * layer.weight_elements for layer in layers)
    total = sum(layer.weight_elements for layer in layers)
    largest_row = 64  # the budget is met to within half a filter per layer
    assert kept == pytest.approx(0.4 * total, abs=3 * largest_row / 2 if isinstance(pattern, Filter) else 8)
    assert not any(pruned.sparsity_of(layer) == pytest.approx(0.6, abs=0.02) for layer in layers)
    assert any(note.startswith("global threshold: seeded weights") for note in pruned.notes) == (
        allocation == "global"
    )


@pytest.mark.parametrize("pattern", [NM(2, 4), VNM(8, 2, 8)], ids=str)
def test_nm_ignores_allocations_and_says_so(small: Workload, pattern: Pattern) -> None:
    pruned = prune(small, pattern, allocation="erk")
    assert f"{pattern} keeps the same share in every layer; the allocation is not used" in pruned.notes
    assert shares(pruned) == shares(prune(small, pattern))


def test_a_table_prunes_what_it_names(small: Workload) -> None:
    pruned = prune(small, Unstructured(0.9), allocation={"dw": 0.5, "fc": 0.25})
    assert shares(pruned) == {"conv1": 0.0, "dw": 0.5, "pw": 0.0, "fc": 0.25}
    with pytest.raises(UnknownNameError, match=r'allocation: layer of small: .* got "fcc"'):
        prune(small, Unstructured(0.9), allocation={"fcc": 0.5})
    with pytest.raises(UsageError, match="layer fc: expected a sparsity from 0 to 1, got 90"):
        prune(small, Unstructured(0.9), allocation={"fc": 90})


def test_a_profile_gives_each_layer_its_own_share(alexnet: Workload) -> None:
    pruned = prune(alexnet, None, allocation="scnn", skip=["conv1"])
    assert isinstance(pruned.pattern, Unstructured)
    conv2 = alexnet.layers[1]
    assert pruned.sparsity_of(conv2) == pytest.approx(1 - (0.372552083 + 0.38530599) / 2, abs=1e-5)
    assert pruned.mask(alexnet.layers[0]) is None
    assert pruned.mask(alexnet.layers[5]) is None
    assert pruned.activation_density(conv2) == pytest.approx((0.906464335 + 0.96539209) / 2)
    assert "profile scnn: not in it and left dense: fc6, fc7, fc8" in pruned.notes
    assert any(note.startswith("profile scnn: AlexNet, pruned as Han") for note in pruned.notes)
    assert not any("not the number in" in note for note in pruned.notes)


def test_a_profile_under_nm_only_gives_activations(alexnet: Workload) -> None:
    pruned = prune(alexnet, NM(2, 4), allocation="scnn")
    assert not any("left dense" in note for note in pruned.notes)
    assert set(pruned.densities.values()) == {0.5}
    assert pruned.activation_density(alexnet.layers[0]) == 1.0


def test_resnet50_under_str_has_the_published_overall_sparsity(resnet50: Workload) -> None:
    pruned = prune(resnet50, Unstructured(0.9), allocation="str-90", criterion="random")
    kept = sum((1 - pruned.sparsity_of(layer)) * layer.weight_elements for layer in resnet50.layers)
    total = sum(layer.weight_elements for layer in resnet50.layers)
    assert total == 25502912
    assert 100 * (1 - kept / total) == pytest.approx(90.23, abs=0.006)
    assert any("sparsities as published, not the number in unstructured:0.9" in note for note in pruned.notes)


def test_wrong_names_are_told(small: Workload) -> None:
    with pytest.raises(UnknownNameError, match=r'allocation: .* got "unifrom" \(did you mean uniform'):
        prune(small, Unstructured(0.5), allocation="unifrom")
    with pytest.raises(UnknownNameError, match="criterion"):
        prune(small, Unstructured(0.5), criterion="tailor")
    with pytest.raises(UsageError, match="profile scnn: expected a model with the layers of AlexNet"):
        prune(small, Unstructured(0.5), allocation="scnn")


def test_a_criterion_of_ones_own_slots_in() -> None:
    def wanda(norms: dict[str, np.ndarray]) -> Criterion:
        return Criterion(
            name="wanda", about="a test", score=lambda la, weights, seed: np.abs(weights()) * norms[la.name]  # noqa: ARG005
        )  # fmt: skip

    norms = {"fc": np.arange(12, dtype=np.float32)}
    pruned = prune(one_layer(weights=np.ones((8, 12))), Unstructured(0.5), criterion=wanda(norms))
    np.testing.assert_array_equal(pruned.mask(pruned.workload.layers[0]), np.tile(np.arange(12) >= 6, (8, 1)))
    wrong = Criterion(name="wrong", about="a test", score=lambda la, weights, seed: weights()[:1])  # noqa: ARG005
    with pytest.raises(ShapeError, match=r"criterion wrong: expected scores of shape \(8, 12\) for layer fc"):
        prune(one_layer(), Unstructured(0.5), criterion=wrong).mask(pruned.workload.layers[0])


@pytest.mark.parametrize("text", ["unstructured:0.9", "2:4", "v64:2:8", "block:4x1:0.8", "filter:0.5"])
def test_memory_stays_under_twice_the_layer(text: str) -> None:
    workload = one_layer(2048, 2048)
    prune(workload, parse_pattern(text)).mask(workload.layers[0])
    tracemalloc.start()
    prune(workload, parse_pattern(text)).mask(workload.layers[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 4 * 2048 * 2048
