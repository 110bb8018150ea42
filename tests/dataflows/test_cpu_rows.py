"""Rows on CPU cores: what is counted, how work is shared, and times beside measured ones."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.dataflows import plan_layer
from simsparse.dataflows.cpu_grid import work_plan
from simsparse.dataflows.cpu_grouped import full_visits
from simsparse.dataflows.cpu_memory import Stream, memory_of, tile_hits, unpredicted
from simsparse.dataflows.cpu_rows import layer_product, make_work
from simsparse.dataflows.cpu_work import Product, join, layer_cycles
from simsparse.dataflows.task import ActivationOperand, LayerPlan, LayerTask, WeightOperand
from simsparse.engine import execute
from simsparse.errors import UnsupportedError, UsageError
from simsparse.formats import make_format
from simsparse.hardware import DTYPE_BITS, CpuRowsParameters, HardwareModel
from simsparse.ir import ConvShape, Layer, LayerKind, conv_layer, gemm_layer
from simsparse.kernels.count_cpu import group_visits, row_visits
from simsparse.load.catalog import load_hardware
from simsparse.packed.arrays import balanced_bounds

EPYC = load_hardware("epyc-9654")


def cpu(machine: HardwareModel = EPYC) -> CpuRowsParameters:
    assert isinstance(machine.dataflow, CpuRowsParameters)
    return machine.dataflow


def with_cpu(part: str, machine: HardwareModel = EPYC, **changes: Any) -> HardwareModel:
    changed = dataclasses.replace(getattr(cpu(machine), part), **changes)
    return dataclasses.replace(machine, dataflow=dataclasses.replace(cpu(machine), **{part: changed}))


def one_core() -> HardwareModel:
    """The machine on which the constants were fitted: one Zen 4 core whose L3 is shared with others."""
    core = dataclasses.replace(EPYC, units=1, clock_hz=3.6e9)
    return with_cpu(
        "memory", core, l3_sharers=1, l3_usable_bytes=7.1e6, l3_written_bytes=4.9e6, cold_above_bytes=1e30
    )


def make_task(
    layer: Layer,
    name: str = "dense",
    mask: np.ndarray | None = None,
    machine: HardwareModel = EPYC,
    dtype: str = "fp32",
) -> LayerTask:
    support = machine.formats[name.split(":")[0]]
    form = dataclasses.replace(make_format(name), **support.parameters)  # type: ignore[type-var]
    held = np.ones((layer.m, layer.k), dtype=np.bool_) if mask is None else mask
    return LayerTask(
        layer=layer,
        hardware=machine,
        weights=WeightOperand(layer.m, layer.k, mask),
        activations=ActivationOperand(layer),
        format=form,
        support=support,
        footprint=form.footprint(held, value_bits=DTYPE_BITS[dtype]),
        dtype=dtype,
    )


def random_mask(m: int, k: int, density: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((m, k)) < density


def two_of_four(m: int, k: int) -> np.ndarray:
    kept = np.random.default_rng(0).random((m, -(-k // 4), 4)).argsort(axis=2) < 2
    return kept.reshape(m, -1)[:, :k].copy()


def block_mask(m: int, k: int, rows: int, density: float) -> np.ndarray:
    return np.repeat(random_mask(-(-m // rows), k, density), rows, axis=0)[:m]


def time_s(planned: LayerPlan, machine: HardwareModel = EPYC) -> float:
    return execute(planned.plan).total_cycles / machine.clock_hz


MASKS = st.builds(
    random_mask,
    m=st.integers(1, 30),
    k=st.integers(1, 70),
    density=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 99),
)


@given(mask=MASKS, parts=st.integers(1, 5), block=st.integers(1, 80))
def test_row_visits_count_what_numpy_counts(mask: np.ndarray, parts: int, block: int) -> None:
    starts = balanced_bounds(mask.sum(axis=1), parts)
    counts, surprise = row_visits(mask, starts, block)
    blocks = range(0, mask.shape[1], block)
    for part in range(parts):
        rows = mask[starts[part] : starts[part + 1]]
        cells = [rows[:, c : c + block].sum(axis=1) for c in blocks]
        inner = [
            cell if c in (0, blocks[-1]) else cell[cell > 0] for c, cell in zip(blocks, cells, strict=True)
        ]
        lengths = np.concatenate(inner)
        assert counts[part, 0] == rows.sum()
        assert counts[part, 1] == lengths.size
        assert counts[part, 2] == np.sum(lengths % 2)
        assert counts[part, 3] == np.sum(lengths % 4)
        assert counts[part, 4] == sum(max(0, len(set(cell.tolist())) - 1) for cell in inner)
        assert counts[part, 5] == np.sum(rows[1:] & rows[:-1])
        assert [*counts[part, 6:]] == [np.sum(lengths > least) for least in (24, 48, 96)]
        expected = 0.0
        for cell in inner:
            _, often = np.unique(cell, return_counts=True)
            expected += often.sum() - (often**2).sum() / max(1, often.sum())
        assert surprise[part] == pytest.approx(expected)


@given(mask=MASKS, parts=st.integers(1, 4), block=st.integers(1, 80))
def test_group_visits_count_what_numpy_counts(mask: np.ndarray, parts: int, block: int) -> None:
    starts = balanced_bounds(mask.sum(axis=1), parts, multiple=4)
    counts, surprise = group_visits(mask, starts, block)
    weights = counts[:, :4] @ np.array([1, 2, 3, 4])
    assert weights.sum() == mask.sum()
    assert np.all(surprise >= 0)
    for part in range(parts):
        groups = [mask[i : min(i + 4, starts[part + 1])] for i in range(starts[part], starts[part + 1], 4)]
        used = [group.any(axis=0) for group in groups]
        assert counts[part, 8] == sum(int(np.sum(a & b)) for a, b in pairwise(used))
        segments = plain = visits = 0
        for group in groups:
            codes = (group * 2 ** np.arange(len(group))[:, None]).sum(axis=0)
            for c in range(0, mask.shape[1], block):
                kinds = set(codes[c : c + block].tolist()) - {0}
                segments += len(kinds)
                plain += not kinds - {15}
                visits += 1
        assert [*counts[part, 4:7]] == [visits, plain, segments]


@given(m=st.integers(1, 30), k=st.integers(1, 90), parts=st.integers(1, 4), block=st.integers(1, 100))
def test_weights_without_a_zero_are_counted_in_closed_form(m: int, k: int, parts: int, block: int) -> None:
    mask = np.ones((m, k), np.bool_)
    starts = balanced_bounds(mask.sum(axis=1), parts, multiple=4)
    assert np.array_equal(full_visits(starts, k, block)[0], group_visits(mask, starts, block)[0])


@given(
    used=st.floats(0, 1),
    overlap=st.floats(0, 1),
    sizes=st.tuples(st.floats(1e3, 1e6), st.floats(1e3, 1e6)),
)
def test_tile_hits_are_shares_that_grow_with_the_cache(
    used: float, overlap: float, sizes: tuple[float, float]
) -> None:
    small, large = sorted(sizes)
    shares = np.array([used]), np.array([overlap])
    low, high = (float(tile_hits(size, 1e5, *shares)[0]) for size in (small, large))
    assert 0 <= low <= high + 1e-9 <= 1 + 1e-8
    assert tile_hits(1e5, 1e5, *shares)[0] == 1


def test_random_rows_find_the_cached_share_of_a_tile_and_sweeps_find_nothing() -> None:
    sparse = tile_hits(5e4, 1e5, np.array([0.01]), np.array([0.0]))[0]
    assert sparse == pytest.approx(0.5, abs=0.02)
    assert tile_hits(5e4, 1e5, np.array([1.0]), np.array([1.0]))[0] == pytest.approx(0, abs=1e-6)


def test_few_loop_exits_are_memorised() -> None:
    missed = unpredicted(np.array([100.0, 1000.0, 1e6]), 1000.0)
    assert missed.tolist() == [0.0, 0.0, 1e6]


def test_streams_come_from_dram_only_beyond_the_l3() -> None:
    memory = memory_of(EPYC, 8)
    size = np.array([1e6])
    usable = cpu().memory.l3_usable_bytes

    def stream(shared: float, **options: Any) -> Any:
        asked = Stream(size=size, weights=(1.0, 1.0), footprint=size, shared=np.array([shared]), **options)
        other = dataclasses.replace(asked, size=2 * size, written=True)
        return memory.streams(other, asked)[1]

    near = stream(usable)
    assert near.dram[0] == 0
    assert stream(4 * usable).dram[0] == pytest.approx(0.75e6)
    assert stream(0, cold=1.0, unique=0.5).dram[0] == pytest.approx(0.5e6)
    memory = memory_of(EPYC, 1)
    alone = stream(0, cold=1.0)
    total = alone.cycles + alone.dram * memory.channel_cycles_per_byte
    assert total[0] == pytest.approx(1e6 / cpu().memory.dram_bytes_per_cycle)


KERNELS = {
    ("dense", 40): "dense sgemm",
    ("dense", 1): "dense sgemm",
    ("csr", 40): "csr rows",
    ("csr", 1): "csr gather",
    ("bitmask", 40): "pattern-grouped rows",
    ("bitmask", 1): "bitmask expand",
    ("nm:2:4", 1): "N:M expand",
    ("nm:1:4", 3): ("N:M expand", "pattern-grouped rows"),
    ("nm:3:4", 1): "csr gather",
    ("nm:2:4", 40): "pattern-grouped rows",
    ("bsr:4x1", 40): "pattern-grouped rows",
    ("bsr:16x1", 1): "block columns",
    ("ell", 40): "csr rows",
}


@pytest.mark.parametrize(("name", "n"), KERNELS)
@given(m=st.integers(1, 150), k=st.integers(1, 200), density=st.sampled_from([0.02, 0.2, 0.9]))
def test_macs_are_conserved_and_threads_share_the_rows(
    name: str, n: int, m: int, k: int, density: float
) -> None:
    layer = gemm_layer("fc", m, k, n)
    if name.startswith("nm"):
        mask = two_of_four(m, k) if "2:4" in name else np.arange(m * k).reshape(m, k) % k % 4 == 0
    else:
        mask = block_mask(m, k, 16, density)
    planned = plan_layer(make_task(layer, name, None if name == "dense" else mask))
    assert planned.kernel.startswith(KERNELS[name, n])
    assert planned.macs_done + planned.macs_gated + planned.macs_skipped == layer.macs
    assert planned.macs_done >= int(mask.sum()) * n
    assert planned.macs_done <= layer.macs
    plan = planned.plan
    assert np.all(plan.compute_cycles >= 0)
    assert plan.tiles <= 8 * 96
    assert planned.counts["core", "cycle"] == round(float(plan.compute_cycles.sum()))
    assert 0 <= int(plan.unit.min()) <= int(plan.unit.max()) < EPYC.units
    assert ("unpacked to csr" in " ".join(planned.notes)) == (name == "ell")
    peak = EPYC.macs_per_cycle["fp32"] * EPYC.units
    assert execute(plan).total_cycles >= planned.macs_done / peak


@given(seed=st.integers(0, 99), n=st.sampled_from([1, 16, 64, 100]))
def test_csr_work_grows_with_density_at_equal_rows(seed: int, n: int) -> None:
    scores = np.random.default_rng(seed).random((32, 256)).argsort(axis=1)
    machine = one_core()
    before = 0.0
    for kept in (1, 16, 64, 128, 256):
        planned = plan_layer(make_task(gemm_layer("fc", 32, 256, n), "csr", scores < kept, machine))
        now = float(planned.plan.compute_cycles.sum())
        assert now > before
        before = now


def test_skewed_rows_make_threads_wait_only_where_rows_cannot_be_shared() -> None:
    layer = gemm_layer("fc", 96, 4096, 64)
    even = np.zeros((96, 4096), dtype=np.bool_)
    even[:, :256] = True
    skewed = np.zeros_like(even)
    skewed[:6] = True  # as many weights, in six rows
    balance = []
    for mask in (even, skewed):
        busy = execute(plan_layer(make_task(layer, "csr", mask)).plan).unit_busy_ticks
        balance.append(busy.mean() / busy.max())
    assert balance[0] > 0.95
    assert balance[1] < 0.5


@pytest.mark.parametrize("name", ["dense", "csr", "bitmask"])
def test_more_cores_finish_a_large_layer_earlier(name: str) -> None:
    layer = gemm_layer("fc", 1024, 1024, 512)
    mask = None if name == "dense" else random_mask(1024, 1024, 0.2)
    times = []
    for units in (1, 4, 24, 96):
        machine = dataclasses.replace(EPYC, units=units)
        times.append(time_s(plan_layer(make_task(layer, name, mask, machine))))
    assert times == sorted(times, reverse=True)
    assert 2.5 < times[0] / times[1] <= 4.0
    assert times[0] / times[3] <= 96


def test_large_weights_are_cold_and_cross_dram_once() -> None:
    layer = gemm_layer("fc", 4096, 4096, 1)
    for name, mask in (("dense", None), ("nm:2:4", two_of_four(4096, 4096))):
        planned = plan_layer(make_task(layer, name, mask))
        moved = int(planned.plan.fetch_bytes.sum())
        stored = planned.weight_bytes + planned.metadata_bytes
        assert moved == pytest.approx(stored, rel=0.01)
        assert time_s(planned) > stored / 460.8e9
    small = plan_layer(make_task(gemm_layer("fc", 1024, 1024, 1)))
    assert small.plan.fetch_bytes.sum() == 0


@given(
    name=st.sampled_from(["csr", "grouped", "dense", "gemv-csr", "gemv-bitmask", "gemv-nm", "gemv-bsr"]),
    m=st.integers(1, 80),
    k=st.integers(1, 300),
    n=st.integers(1, 150),
    cold=st.booleans(),
)
def test_the_closed_form_is_what_one_core_takes_in_the_event_driven_plan(
    name: str, m: int, k: int, n: int, cold: bool
) -> None:
    machine = one_core()
    weights = WeightOperand(m, k, random_mask(m, k, 0.3))
    product = Product(m=m, k=k, n=n, cold_weights=cold, cold_activations=cold)
    work = make_work(name, cpu(machine), product, weights)
    plan, _ = work_plan(make_task(gemm_layer("fc", m, k, n), machine=machine), work, 1)
    taken = execute(plan).total_cycles - machine.launch_s * machine.clock_hz
    closed = layer_cycles(work, cpu(machine), memory_of(machine, 1))
    assert taken == pytest.approx(closed[0], rel=1e-3, abs=2)


@given(shapes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 90)), min_size=1, max_size=4))
def test_layers_together_cost_what_they_cost_alone(shapes: list[tuple[int, int]]) -> None:
    machine, memory = cpu(), memory_of(EPYC, 2)
    works = [
        make_work(
            "csr", machine, Product(m=m, k=k, n=30, threads=2), WeightOperand(m, k, random_mask(m, k, 0.4))
        )
        for m, k in shapes
    ]
    alone = [layer_cycles(work, machine, memory)[0] for work in works]
    assert layer_cycles(join(works), machine, memory) == pytest.approx(alone)


# (name, density) → microseconds of prototypes of these kernels, aligned tile, 512x768x128 on one Zen 4 core
MEASURED_US = {("csr", 0.5): 633, ("csr", 0.1): 144, ("bitmask", 0.5): 516, ("bitmask", 0.1): 177}


@pytest.mark.parametrize(("name", "density"), MEASURED_US)
def test_one_core_takes_the_measured_time_within_a_quarter(name: str, density: float) -> None:
    machine = one_core()
    task = make_task(gemm_layer("fc", 512, 768, 128), name, random_mask(512, 768, density), machine)
    predicted = 1e6 * time_s(plan_layer(task), machine)
    assert predicted == pytest.approx(MEASURED_US[name, density], rel=0.25)


def test_dense_products_reach_the_measured_share_of_the_peak_on_one_core() -> None:
    machine = one_core()
    for shape in ((1024, 1024, 128), (3072, 768, 128), (512, 4608, 196)):
        layer = gemm_layer("fc", *shape)
        rate = 2 * layer.macs / time_s(plan_layer(make_task(layer, machine=machine)), machine)
        assert 93e9 < rate < 110e9  # 96 to 109 GF/s measured


def test_narrow_types_speed_up_dense_products_and_shrink_sparse_streams() -> None:
    layer = gemm_layer("fc", 1024, 1024, 1024)
    mask = random_mask(1024, 1024, 0.2)
    dense = [time_s(plan_layer(make_task(layer, dtype=dtype))) for dtype in ("fp32", "bf16", "int8")]

    def sparse(machine: HardwareModel, dtype: str) -> float:
        return time_s(plan_layer(make_task(layer, "csr", mask, machine, dtype)), machine)

    assert 1.5 < dense[0] / dense[1] <= 2.0
    assert 2.0 < dense[0] / dense[2] <= 4.0
    gains = [sparse(machine, "fp32") / sparse(machine, "int8") for machine in (one_core(), EPYC)]
    assert 1.0 < gains[0] < 1.5
    assert (
        gains[0] < gains[1] < dense[0] / dense[1]
    )  # 96 cores wait longer for bytes, the arithmetic stays fp32


def convolution(channels: int, filters: int, groups: int) -> Layer:
    conv = ConvShape(
        batch=1, in_channels=channels, in_height=14, in_width=14, kernel_height=3, kernel_width=3,
        out_height=14, out_width=14, padding=(1, 1, 1, 1),
    )  # fmt: skip
    return conv_layer("conv", conv, filters, groups=groups)


def test_windows_share_inputs_and_strides_take_a_pass() -> None:
    def seconds(conv: ConvShape, machine: HardwareModel) -> float:
        layer = conv_layer("conv", conv, 64)
        task = make_task(layer, "csr", random_mask(64, layer.k, 0.05), machine)
        return time_s(plan_layer(task), machine)

    near = ConvShape(
        batch=1, in_channels=64, in_height=56, in_width=56, kernel_height=3, kernel_width=3,
        out_height=56, out_width=56, padding=(1, 1, 1, 1),
    )  # fmt: skip
    window = layer_product(conv_layer("conv", near, 64)).window
    assert window is not None
    assert not window.gathered
    assert window.fresh(64, 1 / 9) == pytest.approx((64 + 2 * 56) / (9 * 64))
    assert window.fresh(3136, 1 / 9) == pytest.approx(1 / 9)
    valid = dataclasses.replace(near, in_height=58, in_width=58, padding=(0, 0, 0, 0))
    one = one_core()
    assert seconds(valid, one) > 1.3 * seconds(near, one)  # found one by one
    halved = dataclasses.replace(near, in_height=112, in_width=112, stride=(2, 2))
    assert layer_product(conv_layer("conv", halved, 64)).rearranged == (64 * 112**2, 64 * 112**2)
    free = with_cpu("panel", one, split=0.0, inputs=(0.0, 0.0))
    assert seconds(halved, one) > seconds(near, one)
    assert seconds(halved, one) > seconds(halved, free)
    point = dataclasses.replace(halved, kernel_height=1, kernel_width=1, padding=(0, 0, 0, 0))
    assert layer_product(conv_layer("conv", point, 64)).rearranged == (64 * 56 * 112, 64 * 56 * 56)


def test_dense_products_on_several_threads_may_be_groups_of_full_rows() -> None:
    task = make_task(gemm_layer("fc", 512, 512, 64))
    assert plan_layer(task).kernel.startswith("dense sgemm")
    ours = with_cpu("dense", dataclasses.replace(EPYC, units=2), library="packed")
    planned = plan_layer(dataclasses.replace(task, hardware=ours))
    assert planned.kernel == "groups of full rows, 2 threads"
    assert planned.macs_done == 512 * 512 * 64
    alone = dataclasses.replace(ours, units=1)
    assert plan_layer(dataclasses.replace(task, hardware=alone)).kernel.startswith("dense sgemm")


def test_loops_start_without_a_library() -> None:
    dense = cpu(EPYC).dense
    slow = with_cpu("dense", launch_cycles=dense.launch_cycles + 1e6)
    loops = with_cpu("dense", loop_launch_cycles=dense.loop_launch_cycles + 1e6)
    for layer, one, other in (
        (gemm_layer("fc", 512, 512, 64), slow, loops),
        (gemm_layer("fc", 512, 512, 1), loops, slow),
        (convolution(64, 64, 64), loops, slow),
    ):
        usual = time_s(plan_layer(make_task(layer)), EPYC)
        longer = time_s(plan_layer(make_task(layer, machine=one)), one)
        assert longer - usual == pytest.approx(1e6 / EPYC.clock_hz, rel=1e-3)
        assert time_s(plan_layer(make_task(layer, machine=other)), other) == usual


def test_small_dense_products_take_the_rest_of_a_vector_under_one_mask() -> None:
    ours = with_cpu("dense", one_core(), launch_cycles=0.0, small_outputs=0.0, streams=(0.0, 0.0))

    def seconds(n: int) -> float:
        return time_s(plan_layer(make_task(gemm_layer("fc", 128, 128, n), machine=ours)), ours)

    assert [seconds(n) for n in range(9, 16)] == [pytest.approx(seconds(16), rel=0.03)] * 7
    assert [seconds(n) for n in range(25, 32)] == [pytest.approx(seconds(32), rel=0.03)] * 7
    assert 1.1 * seconds(8) < seconds(9)
    assert 1.1 * seconds(16) < seconds(17) < seconds(24)


def test_dense_convolutions_of_few_channels_may_be_summed_directly() -> None:
    ours = with_cpu("dense", dataclasses.replace(EPYC, units=1), library="packed")
    for channels, kernel in ((3, "direct convolution, 1 thread"), (512, "groups of full rows, 1 thread")):
        conv = ConvShape(
            batch=1, in_channels=channels, in_height=112, in_width=112, kernel_height=3, kernel_width=3,
            out_height=112, out_width=112, padding=(1, 1, 1, 1),
        )  # fmt: skip
        layer = conv_layer("stem", conv, 64)
        assert plan_layer(make_task(layer, machine=ours)).kernel == kernel
        assert plan_layer(make_task(layer)).kernel.startswith("dense sgemm")


def test_grouped_layers_run_as_products_side_by_side() -> None:
    depthwise = plan_layer(make_task(convolution(64, 64, 64)))
    assert depthwise.kernel.startswith("direct convolution")
    grouped = convolution(64, 64, 4)
    for name in ("dense", "csr", "bitmask"):
        mask = None if name == "dense" else random_mask(64, 144, 0.3)
        planned = plan_layer(make_task(grouped, name, mask))
        assert planned.macs_done + planned.macs_skipped == grouped.macs
    attention = Layer(
        name="qk", kind=LayerKind.MATMUL, m=12 * 128, k=64, n=128, groups=12,
        input_elements=2 * 12 * 128 * 64, output_elements=12 * 128 * 128,
    )  # fmt: skip
    planned = plan_layer(make_task(attention))
    assert (planned.weight_bytes, planned.metadata_bytes) == (0, 0)
    assert len(np.unique(planned.plan.unit)) == 96


def test_kernels_say_what_they_cannot_run() -> None:
    none = np.zeros((64, 144), dtype=np.bool_)
    attention = dataclasses.replace(gemm_layer("qk", 64, 144, 8), kind=LayerKind.MATMUL)
    skipped = dataclasses.replace(EPYC.formats["coo"], role="skip")
    other = dataclasses.replace(EPYC, formats={**EPYC.formats, "coo": skipped})
    cases = (
        (make_task(attention, "csr", none), "csr holds weights"),
        (make_task(gemm_layer("fc", 64, 144, 8), "coo", none, other), "no kernel for coo"),
    )
    for task, message in cases:
        with pytest.raises(UnsupportedError, match=message):
            plan_layer(task)


def test_parameters_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="ascending"):
        with_cpu("memory", footprint_bytes=(2.0, 1.0), read_bytes_per_cycle=(1.0, 1.0))
    with pytest.raises(UsageError, match="rates > 0"):
        with_cpu("memory", l3_sharers=0)


@pytest.mark.parametrize("name", ["dense", "csr", "bsr:4x1", "bitmask"])
def test_a_large_product_draws_less_than_the_tdp_and_a_dense_one_nearly_all(name: str) -> None:
    layer = gemm_layer("fc", 1024, 1024, 2048)
    mask = None if name == "dense" else block_mask(1024, 1024, 4, 0.3)
    planned = plan_layer(make_task(layer, name, mask))
    ran = execute(planned.plan)
    counts = {**planned.counts, ("dram", "byte"): int(ran.channel_bytes[0])}
    picojoules = sum(EPYC.energy_pj[c][a] * n for (c, a), n in counts.items())
    power = picojoules * 1e-12 * EPYC.clock_hz / ran.total_cycles + EPYC.static_w
    assert EPYC.tdp_w is not None
    assert power < 1.1 * EPYC.tdp_w
    assert power > (0.85 if name == "dense" else 0.5) * EPYC.tdp_w
