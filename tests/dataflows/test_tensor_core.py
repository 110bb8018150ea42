"""Tensor cores of several structures: compute, shared memory and DRAM by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simsparse.errors import UsageError
from simsparse.hardware import TensorCoreParameters
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.simulate import simulate, simulate_layer

VARIANTS = ("stc-flexible", "stc-flexible-rle", "stc-dual")


def pruned(machine: str, gemm: str, pattern: str, inputs: float = 1.0) -> LayerResult:
    return simulate(gemm, on=machine, prune=pattern, activation_density=inputs).layers[0]


@pytest.mark.parametrize("machine", VARIANTS)
@pytest.mark.parametrize(("group", "padded"), [(4, 1024), (6, 1056), (8, 1024)])
def test_compute_follows_the_group_with_k_padded_to_whole_steps(
    machine: str, group: int, padded: int
) -> None:
    result = pruned(machine, "gemm:512,1024,256", f"2:{group}", inputs=0.05)
    macs = 512 * padded * 256 * 2 // group
    assert result.bound_cycles >= macs / 1024
    assert result.kernel.startswith(f"2:{group} ")
    if machine == "stc-dual":
        assert result.bound_cycles == macs / 1024  # compressed inputs leave shared memory idle


@pytest.mark.parametrize(
    ("machine", "group", "bits"),
    [
        ("stc-flexible", 6, 4),
        ("stc-flexible", 8, 4),
        ("stc-flexible-rle", 6, 2),
        ("stc-flexible-rle", 8, 4),
        ("stc-dual", 6, 2),
    ],
)
def test_shared_memory_moves_weights_with_positions_and_inputs(machine: str, group: int, bits: int) -> None:
    m, k, n, density = 128, 1152, 1024, 0.44
    result = pruned(machine, f"gemm:{m},{k},{n}", f"2:{group}", inputs=density)
    kept = m * k * 2 // group
    input_bytes = round(density * k * n) + k * n / 8 if machine == "stc-dual" else k * n
    assert result.counts[("smem", "byte")] == pytest.approx(
        kept * (n // 128) * (1 + bits / 8) + input_bytes * (m // 64), abs=2
    )


def test_wider_groups_stop_paying_where_shared_memory_limits() -> None:
    two_four, two_eight = (pruned("stc-flexible", "gemm:512,1024,512", p) for p in ("2:4", "2:8"))
    dual = pruned("stc-dual", "gemm:512,1024,512", "2:8", inputs=0.2)
    assert two_eight.bound_by == "smem"
    assert 1.0 < two_four.bound_cycles / two_eight.bound_cycles < 1.2
    assert dual.bound_cycles == two_four.bound_cycles / 2


def test_compressed_inputs_gate_their_zeros_and_keep_the_time_of_the_multipliers() -> None:
    mask = np.tile([True, False, False, True], (64, 64))
    dense = simulate_layer("gemm:64,256,128", "stc-dual", mask)
    sparse = simulate_layer("gemm:64,256,128", "stc-dual", mask, activation_density=0.25)
    assert dense.cost.macs_gated == 0
    assert sparse.cost.macs_gated == pytest.approx(0.75 * 64 * 128 * 128, rel=0.02)
    assert sparse.cost.macs_skipped == dense.cost.macs_skipped == 64 * 128 * 128
    assert sparse.energy_j < dense.energy_j
    plain = simulate_layer("gemm:64,256,128", "stc-flexible", mask, activation_density=0.25)
    assert plain.cost.macs_gated == 0


def test_other_structures_run_dense() -> None:
    result = pruned("stc-flexible", "gemm:64,320,64", "2:10")
    assert result.kernel.startswith("dense ")
    assert pruned("stc-flexible", "gemm:64,320,64", "1:8").kernel.startswith("2:8 ")


def test_cutting_steps_finer_keeps_the_work() -> None:
    small, large = simulate_layer("gemm:64,64,128", "stc"), simulate_layer("gemm:1024,4096,4096", "stc")
    assert small.bound_cycles == 64 * 64 * 128 / 1024
    assert large.bound_cycles == 1024 * 4096 * 4096 / 1024


def test_position_bits_are_one_for_each_group() -> None:
    core = load_hardware("stc-flexible").dataflow
    assert isinstance(core, TensorCoreParameters)
    assert [core.position_bits(group) for group in core.groups] == [2, 4, 4]
    assert dataclasses.replace(core, metadata_bits=()).position_bits(6) == 3
    with pytest.raises(UsageError, match="expected one for each of 3 groups, got 2"):
        dataclasses.replace(core, metadata_bits=(2, 4))
