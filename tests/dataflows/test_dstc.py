"""Outer products against a walk over every output tile and position of k."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import UsageError
from simsparse.hardware import HardwareModel, OuterProductParameters
from simsparse.ir import gemm_layer
from simsparse.kernels.count_outer import vector_counts
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer


def core_of(hardware: HardwareModel) -> OuterProductParameters:
    assert isinstance(hardware.dataflow, OuterProductParameters)
    return hardware.dataflow


def alone(name: str, **changes: object) -> HardwareModel:
    """One unit of a machine with memories that never limit."""
    machine = load_hardware(name)
    return dataclasses.replace(
        machine,
        units=1,
        memory=tuple(dataclasses.replace(level, bandwidth_bytes_per_s=1e30) for level in machine.memory),
        dataflow=dataclasses.replace(core_of(machine), **changes),  # type: ignore[arg-type]
    )


def cycles_by_hand(weights: np.ndarray, inputs: np.ndarray, core: OuterProductParameters) -> float:
    total = 0.0
    for i in range(0, weights.shape[0], core.tile_m):
        for j in range(0, inputs.shape[1], core.tile_n):
            for p in range(weights.shape[1]):
                of_w = int(weights[i : i + core.tile_m, p].sum())
                of_x = int(inputs[p, j : j + core.tile_n].sum())
                if of_w and of_x:
                    packs = of_w / core.pack_m if core.packs_across_k else math.ceil(of_w / core.pack_m)
                    total += math.ceil(of_x / core.chunk_n) * (packs + core.setup_cycles)
    return total


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["dstc", "dstc-case-study"]),
    st.integers(1, 70),
    st.integers(1, 20),
    st.integers(1, 70),
    st.sampled_from([0.0, 0.2, 0.9]),
    st.integers(0, 99),
)
def test_compute_time_counts_every_position_of_every_tile(
    name: str, m: int, k: int, n: int, density: float, seed: int
) -> None:
    machine = alone(name, turns=False)
    generator = np.random.default_rng(seed)
    weights, inputs = generator.random((m, k)) < density, generator.random((k, n)) < 0.5
    result = simulate_layer(gemm_layer("g", m, k, n), machine, weights, inputs, format="bitmask")
    expected = cycles_by_hand(weights, inputs, core_of(machine))
    slices = 20 * 9  # each is rounded up to a tick
    assert result.bound_cycles == pytest.approx(expected, abs=slices / 1024)
    assert result.cost.macs_done == int(np.sum(weights.astype(int) @ inputs.astype(int)))


def test_the_cheaper_of_both_tile_shapes_is_taken() -> None:
    turning = alone("dstc-case-study")
    weights = np.zeros((32, 64), dtype=np.bool_)
    weights[::2] = True  # a vector of 32 rows of W holds 16 nonzeros, one whole pack
    result = simulate_layer("gemm:32,64,64", turning, weights, np.ones((64, 64), dtype=np.bool_))
    both = [
        cycles_by_hand(
            weights,
            np.ones((64, 64), dtype=np.bool_),
            dataclasses.replace(core_of(turning), tile_m=m, tile_n=n),
        )
        for m, n in ((32, 64), (64, 32))
    ]
    assert result.bound_cycles == pytest.approx(min(both))


def test_zeros_of_both_operands_are_skipped_and_setup_limits_the_gain() -> None:
    generator = np.random.default_rng(1)
    weights, inputs = generator.random((512, 512)) < 0.1, generator.random((512, 512)) < 0.1
    machine = alone("dstc")
    dense = simulate_layer("gemm:512,512,512", machine)
    sparse = simulate_layer("gemm:512,512,512", machine, weights, inputs)
    assert dense.bound_cycles == pytest.approx(16 * 16 * 512 * 2 * (32 / 8 + 0.8), rel=1e-4)
    assert 3 < dense.bound_cycles / sparse.bound_cycles < 2 * (4 + 0.8) / 0.8


def test_shared_memory_is_read_once_per_panel_with_bitmaps() -> None:
    generator = np.random.default_rng(2)
    weights, inputs = generator.random((256, 64)) < 0.25, generator.random((64, 512)) < 0.5
    result = simulate_layer("gemm:256,64,512", "dstc-case-study", weights, inputs)
    of_w, of_x = int(weights.sum()) + 256 * 64 // 8, int(inputs.sum()) + 64 * 512 // 8
    assert result.counts[("smem", "byte")] == min(of_w * 8 + of_x * 2, of_w * 4 + of_x * 4)


def test_many_small_tiles_are_joined_without_losing_work() -> None:
    machine = alone("dstc")
    result = simulate_layer("gemm:32,8,1200000", machine)
    assert result.bound_cycles == pytest.approx(1200000 / 32 * 8 * 2 * (32 / 8 + 0.8), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 33), st.integers(0, 99))
def test_vector_counts_against_numpy(rows: int, k: int, length: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, k)) < 0.4
    expected = np.add.reduceat(mask.astype(np.int64), np.arange(0, rows, length), axis=0)
    assert (vector_counts(mask, length) == expected).all()


def test_impossible_cores_are_refused() -> None:
    core = core_of(load_hardware("dstc"))
    with pytest.raises(UsageError, match="setup_cycles >= 0"):
        dataclasses.replace(core, setup_cycles=-1.0)
    with pytest.raises(UsageError, match="panel: expected rows and columns"):
        dataclasses.replace(core, panel=(64,))
