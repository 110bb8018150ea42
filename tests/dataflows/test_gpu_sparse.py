"""GPU kernels of sparse libraries: V:N:M tiles, kept vectors, and one library put in another's place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.dataflows import plan_layer
from simsparse.dataflows.task import ActivationOperand, LayerPlan, LayerTask, WeightOperand
from simsparse.engine import execute
from simsparse.errors import UnknownNameError, UnsupportedError, UsageError
from simsparse.formats import make_format
from simsparse.hardware import GpuTilesParameters, HardwareModel
from simsparse.hardware.gpu import VectorBlockKernel
from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware

RTX = load_hardware("rtx-3090")
WEIGHTS_L2, WEIGHTS_DRAM, INPUTS_L2, INPUTS_DRAM = range(4)
GROUPS = st.sampled_from([4, 7, 8, 10, 20])


def gpu(machine: HardwareModel = RTX) -> GpuTilesParameters:
    assert isinstance(machine.dataflow, GpuTilesParameters)
    return machine.dataflow


def planned(
    size: tuple[int, int, int], name: str, mask: np.ndarray | None, machine: HardwareModel = RTX
) -> LayerPlan:
    m, k, n = size
    support = machine.formats[name.split(":")[0]]
    form = dataclasses.replace(make_format(name), **support.parameters)  # type: ignore[type-var]
    held = np.ones((m, k), dtype=np.bool_) if mask is None else mask
    layer = gemm_layer("fc", m, k, n)
    return plan_layer(
        LayerTask(
            layer=layer,
            hardware=machine,
            weights=WeightOperand(m, k, mask),
            activations=ActivationOperand(layer),
            format=form,
            support=support,
            footprint=form.footprint(held, value_bits=16),
            dtype="fp16",
        )
    )


def vnm_mask(m: int, k: int, rows: int, group: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    groups = -(-k // group)
    mask = np.zeros((m, groups, group), dtype=np.bool_)
    for panel in range(0, m, rows):
        for g in range(groups):
            columns = generator.permutation(group)[:4]
            for row in range(panel, min(m, panel + rows)):
                mask[row, g, generator.permutation(columns)[:2]] = True
    return mask.reshape(m, groups * group)[:, :k].copy()


def vector_mask(m: int, k: int, height: int, density: float, seed: int = 0) -> np.ndarray:
    kept = np.random.default_rng(seed).random((-(-m // height), k)) < density
    return np.repeat(kept, height, axis=0)[:m].copy()


def with_l2(capacity_bytes: float | None) -> HardwareModel:
    levels = [
        dataclasses.replace(level, capacity_bytes=capacity_bytes) if level.name == "l2" else level
        for level in RTX.memory
    ]
    return dataclasses.replace(RTX, memory=tuple(levels))


@given(
    size=st.tuples(st.integers(1, 200), st.integers(4, 200), st.integers(1, 150)),
    group=GROUPS,
    seed=st.integers(0, 99),
)
def test_vnm_does_no_less_than_its_kept_weights(size: tuple[int, int, int], group: int, seed: int) -> None:
    m, k, n = size
    mask = vnm_mask(m, k, 64, group, seed)
    plan = planned(size, f"vnm:64:2:{group}", mask)
    assert int(mask.sum()) * n <= plan.macs_done <= m * k * n
    assert plan.macs_done + plan.macs_skipped == m * k * n
    fetched = plan.plan.fetch_bytes.sum(axis=0)
    assert fetched[WEIGHTS_L2] >= fetched[WEIGHTS_DRAM] >= plan.weight_bytes + plan.metadata_bytes
    assert plan.plan.drain_bytes.sum(axis=0).tolist() == [m * n * 2, m * n * 2]


def test_an_infinite_l2_reads_just_the_rows_of_the_inputs_that_a_panel_touches() -> None:
    m, k, n, group = 256, 320, 96, 20
    mask = vnm_mask(m, k, 64, group)
    plan = planned((m, k, n), f"vnm:64:2:{group}", mask, with_l2(None))
    touched = int(mask.any(axis=0).sum())
    assert plan.plan.fetch_bytes[:, INPUTS_DRAM].sum() == touched * n * 2
    assert plan.plan.fetch_bytes[:, INPUTS_L2].sum() == (m // 64) * (k // group) * 4 * n * 2


def test_vnm_walks_four_columns_of_each_group() -> None:
    m, k, n = 256, 512, 256
    kernel = gpu().vnm
    assert kernel is not None
    cycles = {}
    for group in (4, 8, 16):
        mask = vnm_mask(m, k, 64, group)
        cycles[group] = planned((m, k, n), f"vnm:64:2:{group}", mask).plan.compute_cycles.sum()
    assert cycles[4] == pytest.approx(2 * cycles[8]) == pytest.approx(4 * cycles[16])
    rate = RTX.macs_per_cycle["fp16"] / 2 * kernel.kernel.efficiency * 2  # fp32 sums, mma.sp
    assert cycles[4] == pytest.approx(m * k * n / rate)


def test_vnm_says_what_it_cannot_run() -> None:
    mask = vnm_mask(128, 64, 48, 8)
    with pytest.raises(UnsupportedError, match="N = 2 and V of 32, 64, 128, got 48:2"):
        planned((128, 64, 64), "vnm:48:2:8", mask)
    a100 = load_hardware("a100-80gb")
    none = dataclasses.replace(a100, dataflow=dataclasses.replace(gpu(a100), vnm=None))
    with pytest.raises(UnsupportedError, match="no vnm kernel in fp16"):
        planned((128, 64, 64), "vnm:64:2:8", vnm_mask(128, 64, 64, 8), none)


@given(
    size=st.tuples(st.integers(1, 100), st.integers(1, 200), st.integers(1, 150)),
    height=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_vectors_do_their_kept_weights_and_padding(
    size: tuple[int, int, int], height: int, seed: int
) -> None:
    m, k, n = size
    mask = vector_mask(m, k, height, 0.3, seed)
    plan = planned(size, f"bsr:{height}x1", mask)
    assert plan.kernel.startswith(f"vectors {height}x1")
    assert plan.macs_done == int(mask.sum()) * n
    assert plan.macs_done + plan.macs_skipped == m * k * n
    assert plan.plan.drain_bytes.sum(axis=0).tolist() == [m * n * 2, m * n * 2]
    fetched = plan.plan.fetch_bytes.sum(axis=0)
    lines = -(-n // 64)
    kept = int(mask[::height].sum())
    assert fetched[INPUTS_L2] <= kept * n * 2 + lines
    assert fetched[INPUTS_DRAM] == int(mask.any(axis=0).sum()) * n * 2


def test_taller_vectors_cost_the_same_each_and_save_loads() -> None:
    m, k, n = 768, 3072, 1024
    loads = []
    for height in (2, 4, 8):
        plan = planned((m, k, n), f"bsr:{height}x1", vector_mask(m, k, height, 0.25)).plan
        loads.append(plan.fetch_bytes[:, INPUTS_L2].sum())
    assert loads[0] > loads[1] > loads[2]


def test_blocks_that_are_near_share_lines() -> None:
    kernel = gpu().vectors
    assert kernel is not None
    long = 10**6
    assert kernel.sharing(1.0, long) == 1.0
    assert 1.0 < kernel.sharing(4.0, long) < kernel.sharing(16.0, long) == kernel.sharing(40.0, long)
    assert kernel.sharing(4.0, 64) == pytest.approx(kernel.panel_gain * kernel.sharing(4.0, long))


def test_a_vector_kernel_states_one_block_time_for_each_height() -> None:
    kernel = gpu().vectors
    assert kernel is not None
    with pytest.raises(UsageError, match="as many block_cycles as heights, got 3 and 1"):
        dataclasses.replace(kernel, heights=(2,))
    assert isinstance(kernel, VectorBlockKernel)


def time_s(plan: LayerPlan, machine: HardwareModel = RTX) -> float:
    return execute(plan.plan).total_cycles / machine.clock_hz


def test_fp16_sums_are_nearly_twice_as_fast_on_geforce_and_no_faster_elsewhere() -> None:
    size = (3072, 4096, 4096)
    half = dataclasses.replace(RTX, dataflow=gpu().with_library("cublas-fp16-accumulate"))
    ratio = time_s(planned(size, "dense", None)) / time_s(planned(size, "dense", None, half))
    assert 1.6 < ratio < 2.1
    a100 = load_hardware("a100-80gb")
    sums = dataclasses.replace(gpu(a100).dense, accumulate="fp16")
    other = dataclasses.replace(a100, dataflow=dataclasses.replace(gpu(a100), dense=sums))
    assert time_s(planned(size, "dense", None, other)) == time_s(planned(size, "dense", None, a100))


def test_a_library_takes_the_place_of_the_default_one() -> None:
    found = gpu().with_library("pytorch-cutlass")
    assert found.structured is not None
    assert found.structured.kernel is gpu().structured_libraries["pytorch-cutlass"]
    assert found.dense is gpu().dense
    with pytest.raises(UnknownNameError, match="did you mean pytorch-cutlass"):
        gpu().with_library("pytorch-cutlas")
