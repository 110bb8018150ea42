"""Masks: exact counts, conformity to the pattern, and that what is kept scores at least what is dropped."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsparse.errors import PatternError, ShapeError, UsageError
from simsparse.pattern import NM, VNM, Block, Channel, Dense, Filter, Head, Pattern, Unstructured
from simsparse.pruning.masks import prune_matrix

sizes = st.integers(1, 24)
sparsities = st.floats(0, 1)
seeds = st.integers(0, 2**30)


def draw(m: int, k: int, seed: int, *, levels: int = 6, dtype: type = np.float32) -> NDArray[np.floating]:
    """Scores with many ties: ``levels`` different values."""
    return np.random.default_rng(seed).integers(0, levels, (m, k)).astype(dtype) / 7


def stable_top(scores: NDArray[np.floating], keep: int) -> NDArray[np.bool_]:
    """The oracle: a stable sort, first index first among equals."""
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(-scores.reshape(-1).astype(np.float64), kind="stable")[:keep]] = True
    return mask.reshape(scores.shape)


def tile_oracle(scores: NDArray[np.floating], rows: int, columns: int, sparsity: float) -> NDArray[np.bool_]:
    """Sum each tile in plain Python, keep the best, paint them."""
    m, k = scores.shape
    tops, lefts = range(0, m, rows), range(0, k, columns)
    sums = np.array(
        [[scores[t : t + rows, x : x + columns].sum(dtype=np.float64) for x in lefts] for t in tops]
    )
    mask = np.zeros((m, k), bool)
    kept = stable_top(sums, round((1 - sparsity) * sums.size))
    for i, j in np.argwhere(kept):
        mask[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = True
    return mask


@given(m=sizes, k=sizes, sparsity=sparsities, seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_unstructured_is_a_stable_sort(m: int, k: int, sparsity: float, seed: int, dtype: type) -> None:
    scores = draw(m, k, seed, dtype=dtype)
    mask = prune_matrix(scores, Unstructured(sparsity))
    assert mask.dtype == np.bool_
    assert mask.sum() == round((1 - sparsity) * m * k)
    np.testing.assert_array_equal(mask, stable_top(scores, int(mask.sum())))


@given(seed=seeds, sparsity=sparsities, power=st.integers(-40, 30))
def test_unstructured_keeps_the_largest_at_any_magnitude(seed: int, sparsity: float, power: int) -> None:
    scores = np.random.default_rng(seed).random((17, 19), dtype=np.float32) * np.float32(10.0**power)
    mask = prune_matrix(scores, Unstructured(sparsity))
    if 0 < mask.sum() < mask.size:
        assert scores[mask].min() >= scores[~mask].max()


@given(seed=seeds, low=sparsities, high=sparsities)
def test_masks_are_nested_as_sparsity_grows(seed: int, low: float, high: float) -> None:
    scores = draw(12, 15, seed)
    more, fewer = (prune_matrix(scores, Unstructured(s)) for s in sorted((low, high)))
    assert not np.any(fewer & ~more)


def test_float64_scores_are_told_apart_below_float32() -> None:
    scores = 1.0 + np.arange(64.0).reshape(8, 8) * 2.0**-50
    np.testing.assert_array_equal(
        prune_matrix(scores, Unstructured(0.75)), (np.arange(64) >= 48).reshape(8, 8)
    )


def test_ties_go_to_the_lower_index() -> None:
    mask = prune_matrix(np.ones((4, 5), np.float32), Unstructured(0.6))
    np.testing.assert_array_equal(np.flatnonzero(mask), np.arange(8))


def test_infinite_scores_and_negative_zeros_are_in_order() -> None:
    scores = np.array([[-0.0, np.inf, 1.0, 0.0]], np.float32)
    np.testing.assert_array_equal(prune_matrix(scores, Unstructured(0.5)), [[False, True, True, False]])


@given(m=sizes, k=sizes, group=st.integers(1, 9), data=st.data(), seed=seeds)
def test_nm_keeps_the_best_of_each_group(m: int, k: int, group: int, data: st.DataObject, seed: int) -> None:
    keep = data.draw(st.integers(0, group))
    scores = draw(m, k, seed)
    mask = prune_matrix(scores, NM(keep, group))
    for start in range(0, k, group):
        part, width = slice(start, start + group), min(group, k - start)
        for row in range(m):
            np.testing.assert_array_equal(mask[row, part], stable_top(scores[row, part], min(keep, width)))


@given(m=sizes, k=sizes, rows=st.integers(1, 9), keep=st.integers(1, 4), group=st.integers(4, 11), seed=seeds)
def test_vnm_picks_columns_then_rows(m: int, k: int, rows: int, keep: int, group: int, seed: int) -> None:
    scores = draw(m, k, seed, levels=4)
    mask = prune_matrix(scores, VNM(rows, keep, group))
    for top in range(0, m, rows):
        for left in range(0, k, group):
            block, kept = (
                scores[top : top + rows, left : left + group],
                mask[top : top + rows, left : left + group],
            )
            columns = np.flatnonzero(stable_top(block.sum(axis=0, dtype=np.float64), min(4, block.shape[1])))
            for row in range(block.shape[0]):
                expected = np.zeros(block.shape[1], bool)
                expected[columns[stable_top(block[row, columns], min(keep, columns.size))]] = True
                np.testing.assert_array_equal(kept[row], expected)


@given(m=sizes, k=sizes, rows=st.integers(1, 9), columns=st.integers(1, 9), sparsity=sparsities, seed=seeds)
def test_blocks_are_whole_and_the_best(
    m: int, k: int, rows: int, columns: int, sparsity: float, seed: int
) -> None:
    scores = draw(m, k, seed, levels=50)
    mask = prune_matrix(scores, Block(rows, columns, sparsity))
    np.testing.assert_array_equal(mask, tile_oracle(scores, rows, columns, sparsity))


@given(m=sizes, k=sizes, sparsity=sparsities, seed=seeds)
def test_filters_are_rows(m: int, k: int, sparsity: float, seed: int) -> None:
    scores = draw(m, k, seed)
    mask = prune_matrix(scores, Filter(sparsity))
    assert mask.any(axis=1).sum() == round((1 - sparsity) * m)
    np.testing.assert_array_equal(mask, tile_oracle(scores, 1, k, sparsity))


@given(
    groups=st.integers(1, 4), per_group=st.integers(1, 5), channels=st.integers(1, 6),
    positions=st.sampled_from([1, 4, 9]), sparsity=sparsities, seed=seeds,
)  # fmt: skip
def test_channels_are_kernel_wide_columns_of_one_group(
    groups: int, per_group: int, channels: int, positions: int, sparsity: float, seed: int
) -> None:
    scores = draw(groups * per_group, channels * positions, seed, levels=50)
    mask = prune_matrix(scores, Channel(sparsity), kernel_positions=positions, groups=groups)
    by_channel = mask.reshape(groups, per_group, channels, positions).transpose(0, 2, 1, 3)
    kept = by_channel.all(axis=(2, 3))
    np.testing.assert_array_equal(kept, by_channel.any(axis=(2, 3)))
    assert kept.sum() == round((1 - sparsity) * groups * channels)
    np.testing.assert_array_equal(mask, tile_oracle(scores, per_group, positions, sparsity))


@given(heads=st.integers(1, 8), width=st.integers(1, 5), other=sizes, sparsity=sparsities, seed=seeds)
def test_heads_are_equal_slices_of_their_axis(
    heads: int, width: int, other: int, sparsity: float, seed: int
) -> None:
    scores = draw(heads * width, other, seed, levels=50)
    rows = prune_matrix(scores, Head(sparsity), heads=heads)
    np.testing.assert_array_equal(rows, tile_oracle(scores, width, other, sparsity))
    assert rows.sum() == round((1 - sparsity) * heads) * width * other
    columns = prune_matrix(np.ascontiguousarray(scores.T), Head(sparsity), heads=heads, head_axis="k")
    np.testing.assert_array_equal(columns.T, rows)


PATTERNS: list[Pattern] = [
    Dense(), Unstructured(0.5), NM(2, 4), NM(1, 3), VNM(4, 2, 8), Block(4, 1, 0.5), Block(3, 5, 0.5),
    Channel(0.5), Filter(0.5), Head(0.5),
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_equal_scores_give_an_equal_mask_and_are_left_alone(pattern: Pattern) -> None:
    scores = draw(16, 24, 1)
    scores.flags.writeable = False
    first = prune_matrix(scores, pattern, heads=4)
    np.testing.assert_array_equal(first, prune_matrix(scores.copy(), pattern, heads=4))
    np.testing.assert_array_equal(first, prune_matrix(np.asfortranarray(scores), pattern, heads=4))
    np.testing.assert_array_equal(first, prune_matrix(scores.astype(np.float64), pattern, heads=4))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_empty_matrices_give_empty_masks(pattern: Pattern, shape: tuple[int, int]) -> None:
    assert prune_matrix(np.zeros(shape, np.float32), pattern, heads=4).shape == shape


@pytest.mark.parametrize("pattern", PATTERNS[1:], ids=str)
def test_sparsity_0_keeps_all_and_1_keeps_none(pattern: Pattern) -> None:
    scores = draw(16, 24, 1)
    if isinstance(pattern, NM | VNM):
        assert prune_matrix(scores, NM(4, 4)).all()
        assert not prune_matrix(scores, NM(0, 4)).any()
    else:
        assert prune_matrix(scores, pattern, sparsity=0.0, heads=4).all()
        assert not prune_matrix(scores, pattern, sparsity=1.0, heads=4).any()


@given(sparsity=sparsities, seed=seeds)
def test_the_given_sparsity_replaces_the_patterns(sparsity: float, seed: int) -> None:
    scores = draw(9, 14, seed)
    np.testing.assert_array_equal(
        prune_matrix(scores, Unstructured(0.123), sparsity=sparsity),
        prune_matrix(scores, Unstructured(sparsity)),
    )


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_negative_scores_are_refused_by_name(pattern: Pattern, dtype: type) -> None:
    scores = draw(16, 24, 1, dtype=dtype)
    scores[2, 3] = np.nan
    with pytest.raises(
        UsageError, match=r"layer fc: expected saliency scores >= 0, got NaN at \(2, 3\) \(1 such"
    ):
        prune_matrix(scores, pattern, heads=4, name="layer fc")
    scores[1, 3] = -1
    with pytest.raises(UsageError, match=r"got -1 at \(1, 3\) \(2 such"):
        prune_matrix(scores, pattern, heads=4)


@pytest.mark.parametrize(
    ("pattern", "options", "message"),
    [
        (Head(0.5), {}, "head:0.5: expected heads >= 1 that divide m=16, got 0"),
        (Head(0.5), {"heads": 5, "head_axis": "k"}, "expected heads >= 1 that divide k=24, got 5"),
        (Channel(0.5), {"kernel_positions": 9}, "expected kernel positions >= 1 that divide k=24, got 9"),
        (Channel(0.5), {"groups": 3}, "expected groups >= 1 that divide m=16, got 3"),
        (Unstructured(0.5), {"sparsity": 1.5}, "expected a sparsity from 0 to 1, got 1.5"),
        (NM(2, 4), {"sparsity": 0.9}, "2:4: expected no other sparsity, got 0.9"),
    ],
)
def test_what_does_not_fit_is_refused(pattern: Pattern, options: dict[str, object], message: str) -> None:
    with pytest.raises(PatternError, match=message):
        prune_matrix(draw(16, 24, 1), pattern, **options)  # type: ignore[arg-type]


def test_a_vector_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a matrix \(m, k\), got shape \(3,\)"):
        prune_matrix(np.ones(3), Dense())


def test_2_4_of_whole_groups_agrees_with_the_general_kernel() -> None:
    scores = draw(64, 64, 9)
    for keep in range(5):
        unrolled = prune_matrix(scores, NM(keep, 4))
        general = prune_matrix(np.pad(scores, ((0, 0), (0, 1))), NM(keep, 4))[:, :64]
        np.testing.assert_array_equal(unrolled, general)
    counts = [int(prune_matrix(scores, NM(keep, 4)).sum()) for keep in range(5)]
    assert all(more - less == 64 * 16 for less, more in pairwise(counts))
