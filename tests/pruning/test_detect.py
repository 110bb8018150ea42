"""Detection is the inverse of pruning, and chance is not taken for structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import PatternError, ShapeError
from simsparse.pattern import NM, VNM, Block, Channel, Dense, Filter, Pattern, Unstructured, parse_pattern
from simsparse.pruning.detect import detect_pattern
from simsparse.pruning.masks import prune_matrix

seeds = st.integers(0, 2**30)


def scores(seed: int, m: int = 128, k: int = 160) -> np.ndarray:
    return np.random.default_rng(seed).random((m, k), dtype=np.float32)


TEXTS = [
    "1:2", "1:4", "2:4", "3:4", "1:8", "2:8", "4:8", "2:16", "4:16", "v64:2:8", "v32:1:8", "v16:2:16",
    "block:4x1:0.8", "block:8x1:0.5", "block:16x1:0.9", "block:32x1:0.75", "block:1x4:0.8", "block:1x8:0.5",
    "block:4x4:0.3", "block:8x8:0.5", "block:16x16:0.5", "block:32x32:0.5", "filter:0.5", "filter:0.125",
    "channel:0.5", "unstructured:0.5", "unstructured:0.9", "unstructured:0.05",
]  # fmt: skip


@settings(max_examples=8)
@given(seed=seeds)
@pytest.mark.parametrize("text", TEXTS)
def test_what_was_pruned_is_found(text: str, seed: int) -> None:
    pattern = parse_pattern(text)
    assert str(detect_pattern(prune_matrix(scores(seed), pattern))) == text


@given(seed=seeds, positions=st.sampled_from([4, 9]), groups=st.sampled_from([1, 2]))
def test_channels_of_convolutions_are_found(seed: int, positions: int, groups: int) -> None:
    mask = prune_matrix(scores(seed, 64, 36 * 4), Channel(0.5), kernel_positions=positions, groups=groups)
    assert detect_pattern(mask, kernel_positions=positions, groups=groups) == Channel(0.5)


@given(
    seed=seeds, density=st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]),
    m=st.sampled_from([1, 2, 3, 4, 8, 16, 33, 64]), k=st.sampled_from([1, 2, 4, 7, 8, 16, 64, 81]),
)  # fmt: skip
def test_random_masks_are_not_taken_for_structure(seed: int, density: float, m: int, k: int) -> None:
    mask = np.random.default_rng(seed).random((m, k)) < density
    found = detect_pattern(mask)
    assert isinstance(found, Dense if mask.all() else Unstructured)
    if isinstance(found, Unstructured):
        assert found.sparsity == pytest.approx(1 - mask.mean())


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9])
def test_magnitude_pruned_matrices_are_not_taken_for_structure(sparsity: float) -> None:
    generator = np.random.default_rng(5)
    for m, k in ((4, 4), (8, 8), (16, 4), (4, 64), (64, 64)):
        for _ in range(40):
            mask = prune_matrix(generator.random((m, k), dtype=np.float32), Unstructured(sparsity))
            assert detect_pattern(mask) == Unstructured(1 - mask.mean())


@given(seed=seeds)
def test_a_few_zeros_inside_kept_blocks_do_not_hide_them(seed: int) -> None:
    mask = prune_matrix(scores(seed), Block(4, 4, 0.5))
    mask &= np.random.default_rng(seed + 1).random(mask.shape) < 0.98
    found = detect_pattern(mask)
    assert isinstance(found, Block)
    assert (found.rows, found.columns) == (4, 4)
    assert found.sparsity == pytest.approx(0.5, abs=0.01)


@given(seed=seeds, share=st.sampled_from([0.5, 0.7]))
def test_sparse_weights_inside_kept_blocks_are_no_block_pattern(seed: int, share: float) -> None:
    mask = prune_matrix(scores(seed), Block(4, 4, 0.5)) & (scores(seed + 1) < share)
    assert not isinstance(detect_pattern(mask), Block)


def test_ragged_groups_are_found() -> None:
    mask = prune_matrix(scores(1, 64, 147), NM(2, 4))
    assert detect_pattern(mask) == NM(2, 4)
    mask = prune_matrix(scores(1, 100, 147), Block(16, 16, 0.5))
    found = detect_pattern(mask)
    assert isinstance(found, Block)
    assert (found.rows, found.columns) == (16, 16)
    mask = prune_matrix(scores(1, 100, 147), VNM(32, 2, 8))
    assert detect_pattern(mask) == VNM(32, 2, 8)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.ones((3, 4), bool), Dense()),
        (np.zeros((3, 4), bool), Unstructured(1.0)),
        (np.zeros((0, 4), bool), Dense()),
        (np.zeros((4, 0), bool), Dense()),
        (np.array([[True, False, True, False]]), Unstructured(0.5)),
    ],
)
def test_extremes(mask: np.ndarray, expected: Pattern) -> None:
    assert detect_pattern(mask) == expected


def test_filters_come_before_blocks() -> None:
    mask = np.zeros((64, 64), bool)
    mask[::2] = True
    assert detect_pattern(mask) == Filter(0.5)


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"mask: expected a matrix \(m, k\), got shape \(4,\)"):
        detect_pattern(np.ones(4, bool))
    with pytest.raises(PatternError, match="kernel positions"):
        detect_pattern(np.eye(4, dtype=bool), kernel_positions=3)
