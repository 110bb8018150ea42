"""SIGMA against its folds counted one K tile at a time."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import UsageError
from simsparse.hardware import FlexibleTreeParameters, HardwareModel
from simsparse.ir import ConvShape, Layer, LayerKind, conv_layer, gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer

FILL = 10


@pytest.fixture(scope="module")
def small() -> HardwareModel:
    """SIGMA with 64 multipliers, so that small products fold."""
    sigma = load_hardware("sigma")
    assert isinstance(sigma.dataflow, FlexibleTreeParameters)
    return dataclasses.replace(sigma, dataflow=dataclasses.replace(sigma.dataflow, multipliers=64, k_tile=16))


def folds_by_hand(mask: np.ndarray, k_tile: int, multipliers: int) -> int:
    return sum(
        math.ceil(np.count_nonzero(mask[:, start : start + k_tile]) / multipliers)
        for start in range(0, mask.shape[1], k_tile)
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    st.integers(0, 99),
)
def test_time_is_folds_times_columns_and_the_serial_load(
    m: int, k: int, n: int, density: float, seed: int
) -> None:
    sigma = load_hardware("sigma")
    assert isinstance(sigma.dataflow, FlexibleTreeParameters)
    machine = dataclasses.replace(
        sigma,
        memory=tuple(dataclasses.replace(level, bandwidth_bytes_per_s=1e30) for level in sigma.memory),
        dataflow=dataclasses.replace(sigma.dataflow, multipliers=64, k_tile=16),
    )
    mask = np.random.default_rng(seed).random((m, k)) < density
    result = simulate_layer(gemm_layer("g", m, k, n), machine, mask, format="bitmask")
    folds = folds_by_hand(mask, 16, 64)
    assert result.cycles == pytest.approx(folds * n + mask.sum() / 115.2 + FILL, abs=0.01 * (folds + 1))
    assert result.kernel == f"bitmask, {folds} folds"
    assert result.cost.macs_done == mask.sum() * n
    assert result.cost.macs_skipped == (mask.size - mask.sum()) * n


def test_the_load_never_overlaps_the_stream(small: HardwareModel) -> None:
    mask = np.ones((64, 64), dtype=np.bool_)
    result = simulate_layer("gemm:64,64,100", small, mask, format="bitmask")
    assert result.cycles >= 64 * 100 + mask.size / 115.2
    assert result.bound_cycles == 64 * 100


def test_zero_inputs_save_energy_and_no_time(small: HardwareModel) -> None:
    mask = np.random.default_rng(0).random((64, 64)) < 0.3
    full = simulate_layer("gemm:64,64,100", small, mask)
    half = simulate_layer("gemm:64,64,100", small, mask, activation_density=0.5)
    assert half.cycles == full.cycles
    assert half.energy_j < full.energy_j
    assert half.cost.macs_gated == full.cost.macs_done - half.cost.macs_done > 0


def test_groups_fold_apart(small: HardwareModel) -> None:
    conv = ConvShape(
        batch=1, in_channels=8, in_height=6, in_width=6, kernel_height=3, kernel_width=3,
        out_height=4, out_width=4,
    )  # fmt: skip
    grouped = simulate_layer(conv_layer("c", conv, 16, groups=8), small)
    assert grouped.kernel == "dense, 8 folds"  # 2 x 9 weights each: no fold is shared between groups
    assert grouped.cost.macs_done == 16 * 9 * 16


def test_activation_products_run_with_a_dense_operand(small: HardwareModel) -> None:
    scores = Layer(
        name="scores",
        kind=LayerKind.MATMUL,
        m=32,
        k=16,
        n=8,
        groups=2,
        input_elements=512,
        output_elements=256,
    )
    assert simulate_layer(scores, small).cost.macs_done == 32 * 16 * 8


def test_a_long_product_is_planned_in_few_tiles() -> None:
    mask = np.tile(np.arange(5) == 0, (64, 20000))
    result = simulate_layer(gemm_layer("long", 64, 100000, 4), "sigma", mask)
    assert result.kernel == f"bitmask, {math.ceil(100000 / 128)} folds"
    assert result.bound_by == "sram"


def test_impossible_trees_are_refused() -> None:
    with pytest.raises(UsageError, match="load_words_per_cycle > 0"):
        FlexibleTreeParameters(multipliers=4, k_tile=4, load_words_per_cycle=0.0, fill_cycles=1)
