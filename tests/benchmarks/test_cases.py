"""The grid and the loops under it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cases import Case, conv_case, grid, make_mask, make_operands, skewed_densities
from simsparse.kernels.host_loops import FMA_SUMS, LANES, aligned, fma_loop, sum_window, window_buffer
from simsparse.measure.host_limits import Limits, best_limits


def mask_of(pattern: str, sparsity: float) -> np.ndarray:
    case = Case(m=256, k=512, n=1, pattern=pattern, sparsity=sparsity)
    return make_mask(case, np.random.default_rng(1))


@pytest.mark.parametrize("pattern", ["random", "skewed", "4x1"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.98])
def test_masks_remove_the_share_they_say(pattern: str, sparsity: float) -> None:
    assert 1 - mask_of(pattern, sparsity).mean() == pytest.approx(sparsity, abs=0.02)


def test_masks_have_their_pattern() -> None:
    assert (mask_of("2:4", 0.5).reshape(-1, 4).sum(axis=1) == 2).all()
    blocks = mask_of("4x1", 0.9).reshape(64, 4, 512)
    assert (blocks == blocks[:, :1]).all()
    even, skewed = (mask_of(pattern, 0.9).mean(axis=1).std() for pattern in ("random", "skewed"))
    assert skewed > 4 * even


@pytest.mark.parametrize("density", [0.02, 0.5, 0.95])
def test_skewed_rows_keep_the_mean(density: float) -> None:
    rows = skewed_densities(1000, density, np.random.default_rng(0))
    assert rows.mean() == pytest.approx(density)
    assert 0 < rows.min() < rows.max() <= 1


def test_the_quick_grid_is_part_of_the_whole() -> None:
    every, quick = list(grid(quick=False)), list(grid(quick=True))
    assert set(quick) < set(every)
    assert len(set(every)) == len(every) == 7 * 16 + 24
    assert {case.kind for case in every} == {"spmm", "narrow", "gemv", "conv"}
    assert len({case.shape for case in every if case.conv is None}) == 7
    assert len({case.shape for case in every if case.conv is not None}) == 11


@pytest.mark.parametrize(("window", "stride", "groups"), [(3, 1, 1), (3, 2, 1), (1, 1, 1), (3, 2, 6)])
def test_convolutions_are_those_of_a_sum_over_the_window(window: int, stride: int, groups: int) -> None:
    case = conv_case(6, 12, 7, window, stride, "random", 0.5, groups)
    conv, made = case.conv, make_operands(case)
    weights = made.weights.astype(np.float64).reshape(12, 6 // groups, window, window)
    expected = np.zeros((1, 12, conv.out_height, conv.out_width))
    for out, down, right in np.ndindex(12, conv.out_height, conv.out_width):
        first = out // (12 // groups) * (6 // groups)
        for channel, i, j in np.ndindex(*weights.shape[1:]):
            y, x = down * stride + i - window // 2, right * stride + j - window // 2
            if 0 <= y < 7 and 0 <= x < 7:
                pixel = made.x[0, first + channel, y, x]
                expected[0, out, down, right] += weights[out, channel, i, j] * pixel
    np.testing.assert_allclose(made.reference, expected, atol=1e-12)
    assert made.correct(expected.astype(np.float32))
    assert case.kind == "conv"
    assert case.n == conv.positions


def test_shapes_read_as_text() -> None:
    assert conv_case(64, 128, 56, 3, 2, "random", 0.9).shape == "64>128 3x3@56/2"
    assert conv_case(32, 32, 14, 3, 1, "random", 0.0, 32).shape == "dw32 3x3@14"
    assert Case(m=3, k=4, n=5, pattern="random", sparsity=0.5).shape == "3x4x5"


def test_operands_are_aligned_and_the_same_each_time() -> None:
    case = Case(m=16, k=32, n=5, pattern="random", sparsity=0.5)
    made, again = make_operands(case), make_operands(case)
    assert made.x.ctypes.data % 64 == made.weights.ctypes.data % 64 == 0
    np.testing.assert_array_equal(made.weights, again.weights)
    assert ((made.weights != 0) <= made.mask).all()


def test_the_probe_sums_what_it_says() -> None:
    values = window_buffer(1024)
    values[:] = np.arange(values.size)
    expected = sum(int(values[8 * (turn & 7) :][:100].sum()) for turn in range(11))
    assert sum_window(values, 100, 11) == expected


def test_the_fma_loop_does_every_turn() -> None:
    factor, addend = np.float32(0.5), np.float32(1.0)
    turns = (addend * (2 - 0.5**turns) for turns in (1, 2, 3))
    found = [fma_loop(turn, factor, addend) / (FMA_SUMS * LANES) for turn in (1, 2, 3)]
    assert found == [pytest.approx(float(value)) for value in turns]


def test_aligned_arrays_own_their_pages() -> None:
    made = aligned((3, 5), np.float32)
    assert made.shape == (3, 5)
    assert made.ctypes.data % 64 == 0
    assert not made.any()


def test_limits_split_a_footprint_over_threads() -> None:
    limits = Limits(threads=2, fma_flops=2.0, footprint_bytes=(1000, 100_000), read_bytes_per_s=(90.0, 10.0))
    assert limits.read_rate(2000) == pytest.approx(90.0)
    assert limits.read_rate(20_000) == pytest.approx(50.0)
    assert limits.read_rate(1e9) == limits.dram_bytes_per_s == 10.0
    better = best_limits(
        limits,
        Limits(threads=2, fma_flops=1.0, footprint_bytes=(1000, 100_000), read_bytes_per_s=(80.0, 12.0)),
    )
    assert (better.fma_flops, better.read_bytes_per_s) == (2.0, (90.0, 12.0))
