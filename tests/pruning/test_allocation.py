"""Budgets: ERK and the global threshold meet them; ERK agrees with the published table of ResNet-50."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer
from simsparse.pattern import Block, Filter, Unstructured
from simsparse.pruning.allocation import erk, uniform, weight_dims
from simsparse.pruning.global_threshold import global_threshold
from simsparse.pruning.masks import prune_matrix
from simsparse.pruning.profiles import find_profile
from simsparse.pruning.tiles import tile_of

densities = st.floats(0, 1)
shapes = st.lists(
    st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 3)), min_size=1, max_size=5
)


def layers_of(dims: list[tuple[int, int, int]]) -> list[Layer]:
    return [gemm_layer(f"l{i}", m, k, 1, count=count) for i, (m, k, count) in enumerate(dims)]


def kept_share(layers: list[Layer], density: dict[str, float]) -> float:
    weights = [layer.weight_elements * layer.count for layer in layers]
    return sum(density[la.name] * w for la, w in zip(layers, weights, strict=True)) / sum(weights)


@given(dims=shapes, density=densities)
def test_uniform_is_the_same_everywhere(dims: list[tuple[int, int, int]], density: float) -> None:
    assert set(uniform(layers_of(dims), density).values()) == {density}


@given(dims=shapes, density=densities)
def test_erk_meets_its_budget_and_keeps_the_order_of_shares(
    dims: list[tuple[int, int, int]], density: float
) -> None:
    layers = layers_of(dims)
    found = erk(layers, density)
    assert all(0 <= value <= 1 for value in found.values())
    assert kept_share(layers, found) == pytest.approx(density, abs=1e-9)
    share = {layer.name: (layer.m + layer.k) / (layer.m * layer.k) for layer in layers}
    below = [name for name in share if found[name] < 1]
    for name in below:
        assert found[name] * share[below[0]] == pytest.approx(found[below[0]] * share[name], abs=1e-9)
        # a layer is dense only where its share of the budget would pass 1
        assert all(
            found[name] * share[other] >= share[name] * (1 - 1e-9) for other in share if found[other] == 1
        )


def test_erk_makes_no_layer_dense_that_fits() -> None:
    layers = layers_of([(10, 10, 1), (10, 11, 1), (100, 100, 1)])
    budget = (
        1217  # Σ share × weights = 20 + 21 + 200 = 241, so the scale is 5.0498: only 5.0498 × 0.2 passes 1
    )
    scale = (budget - 100) / (21 + 200)
    expected = {"l0": 1.0, "l1": scale * 21 / 110, "l2": scale * 200 / 10000}
    assert erk(layers, budget / 10210) == pytest.approx(expected)


def test_erk_is_the_published_one_layer_by_layer(resnet50: Workload) -> None:
    found = erk(resnet50.layers, 0.1)
    published = find_profile("erk-90", resnet50)
    for layer in resnet50.layers:
        # the table is rounded to a whole per cent
        assert found[layer.name] == pytest.approx(published.density(layer), abs=0.0051), layer.name


def test_weight_dims_of_a_grouped_convolution() -> None:
    shape = ConvShape(
        batch=1, in_channels=8, in_height=4, in_width=4,
        kernel_height=3, kernel_width=2, out_height=4, out_width=4,
    )  # fmt: skip
    layer = conv_layer("c", shape, 10, groups=2)
    assert weight_dims(layer) == (10, 4, 3, 2)
    assert prod(weight_dims(layer)) == layer.weight_elements
    assert weight_dims(gemm_layer("g", 5, 7, 1)) == (5, 7)


def scores_of(layer: Layer, levels: int = 1 << 20) -> NDArray[np.float32]:
    generator = np.random.default_rng([layer.m, layer.k, ord(layer.name[-1])])
    return (generator.integers(0, levels, (layer.m, layer.k)) / levels).astype(np.float32)


@given(dims=shapes, density=densities)
def test_global_is_one_sort_over_all_weights(dims: list[tuple[int, int, int]], density: float) -> None:
    layers = layers_of([(m, k, 1) for m, k, _ in dims])
    pattern = Unstructured(1 - density)
    tiles = {layer.name: tile_of(pattern, (layer.m, layer.k)) for layer in layers}
    found = global_threshold(layers, density, tiles, scores_of)
    everything = np.concatenate([scores_of(layer).reshape(-1) for layer in layers])
    keep = round(density * everything.size)
    best = np.zeros(everything.size, bool)
    best[np.argsort(-everything, kind="stable")[:keep]] = True
    masks = [
        prune_matrix(scores_of(layer), pattern, sparsity=1 - found[layer.name]).reshape(-1)
        for layer in layers
    ]
    np.testing.assert_array_equal(np.concatenate(masks), best)


@given(dims=shapes, density=densities)
def test_global_meets_its_budget_within_one_weight_of_the_dearest_layer(
    dims: list[tuple[int, int, int]], density: float
) -> None:
    layers = layers_of(dims)
    tiles = {layer.name: tile_of(Unstructured(0), (layer.m, layer.k)) for layer in layers}
    found = global_threshold(layers, density, tiles, lambda layer: scores_of(layer, levels=5))
    total = sum(layer.weight_elements * layer.count for layer in layers)
    assert kept_share(layers, found) == pytest.approx(density, abs=3.5 / total)


@pytest.mark.parametrize("pattern", [Block(4, 2, 0.7), Filter(0.7)], ids=str)
def test_global_ranks_groups_by_their_mean(pattern: Block | Filter) -> None:
    layers = [gemm_layer("a", 32, 40, 1), gemm_layer("b", 16, 8, 1), gemm_layer("c", 8, 64, 1)]
    tiles = {layer.name: tile_of(pattern, (layer.m, layer.k)) for layer in layers}
    found = global_threshold(layers, 0.3, tiles, scores_of)
    masks = [prune_matrix(scores_of(layer), pattern, sparsity=1 - found[layer.name]) for layer in layers]
    means = []
    for layer in layers:
        rows, columns = tiles[layer.name].rows, tiles[layer.name].columns
        split = scores_of(layer).reshape(layer.m // rows, rows, layer.k // columns, columns)
        means.append(split.mean(axis=(1, 3), dtype=np.float64))
    kept = [
        mask[:: tiles[la.name].rows, :: tiles[la.name].columns]
        for mask, la in zip(masks, layers, strict=True)
    ]
    lowest_kept = min(mean[keep].min() for mean, keep in zip(means, kept, strict=True) if keep.any())
    highest_dropped = max(mean[~keep].max() for mean, keep in zip(means, kept, strict=True) if not keep.all())
    assert lowest_kept >= highest_dropped
    largest = max(tile.rows * tile.columns for tile in tiles.values())
    total = sum(layer.weight_elements for layer in layers)
    assert sum(int(mask.sum()) for mask in masks) == pytest.approx(0.3 * total, abs=largest)


def test_global_takes_more_from_the_layer_of_small_scores() -> None:
    layers = [gemm_layer("a", 20, 20, 1), gemm_layer("b", 20, 20, 1)]
    tiles = {layer.name: tile_of(Unstructured(0), (20, 20)) for layer in layers}
    found = global_threshold(
        layers, 0.5, tiles, lambda layer: scores_of(layer) + np.float32(layer.name == "b")
    )
    assert found == {"a": 0.0, "b": 1.0}
