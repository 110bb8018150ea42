"""GPU thread-block tiles: laws of the plans, of the L2 footprint, and times beside measured ones."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.dataflows import plan_layer
from simsparse.dataflows.gpu_choice import clock_share
from simsparse.dataflows.task import ActivationOperand, LayerPlan, LayerTask, WeightOperand
from simsparse.engine import execute
from simsparse.errors import UnsupportedError, UsageError
from simsparse.formats import make_format
from simsparse.hardware import DTYPE_BITS, GpuTilesParameters, HardwareModel
from simsparse.hardware.gpu import ThreadBlockTile, TileKernel
from simsparse.ir import ConvShape, Layer, LayerKind, conv_layer, gemm_layer
from simsparse.kernels.count_gpu import block_traffic, distinct_columns, kept_blocks, tile_traffic
from simsparse.load.catalog import load_hardware

A100 = load_hardware("a100-80gb")
WEIGHTS_L2, WEIGHTS_DRAM, INPUTS_L2, INPUTS_DRAM = range(4)


def gpu(machine: HardwareModel = A100) -> GpuTilesParameters:
    assert isinstance(machine.dataflow, GpuTilesParameters)
    return machine.dataflow


def with_gpu(**changes: Any) -> HardwareModel:
    return dataclasses.replace(A100, dataflow=dataclasses.replace(gpu(), **changes))


def with_l2(capacity_bytes: float | None) -> HardwareModel:
    levels = [
        dataclasses.replace(level, capacity_bytes=capacity_bytes) if level.name == "l2" else level
        for level in A100.memory
    ]
    return dataclasses.replace(A100, memory=tuple(levels))


def make_task(
    layer: Layer,
    name: str = "dense",
    mask: np.ndarray | None = None,
    machine: HardwareModel = A100,
    dtype: str = "fp16",
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


def uniform_task(layer: Layer, name: str, machine: HardwareModel) -> LayerTask:
    """A task whose rows all store alike: the footprint of one row, times m, and no mask of all."""
    one = make_task(
        dataclasses.replace(layer, m=1), name, two_of_four(1, layer.k) if name == "nm" else None, machine
    )
    bits = {
        key: getattr(one.footprint, key) * layer.m for key in ("value_bits", "metadata_bits", "padding_bits")
    }
    return dataclasses.replace(
        one,
        layer=layer,
        weights=WeightOperand(layer.m, layer.k),
        activations=ActivationOperand(layer),
        footprint=dataclasses.replace(one.footprint, **bits),
    )


def random_mask(m: int, k: int, density: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((m, k)) < density


def two_of_four(m: int, k: int, seed: int = 0) -> np.ndarray:
    groups = -(-k // 4)
    kept = np.random.default_rng(seed).random((m, groups, 4)).argsort(axis=2) < 2
    return kept.reshape(m, groups * 4)[:, :k].copy()


def block_mask(m: int, k: int, side: int, density: float, seed: int = 0) -> np.ndarray:
    kept = np.random.default_rng(seed).random((-(-m // side), -(-k // side))) < density
    return np.kron(kept, np.ones((side, side), dtype=np.bool_))[:m, :k].astype(np.bool_)


def masked(name: str, layer: Layer, seed: int = 0) -> np.ndarray | None:
    if name == "dense":
        return None
    if name == "nm":
        return two_of_four(layer.m, layer.k, seed)
    if name.startswith("bsr"):
        return block_mask(layer.m, layer.k, 16, 0.3, seed)
    return random_mask(layer.m, layer.k, 0.3, seed)


def time_s(planned: LayerPlan, machine: HardwareModel = A100) -> float:
    return execute(planned.plan).total_cycles / machine.clock_hz


FORMATS = ("dense", "nm", "csr", "bsr:16x16")
SIZES = st.tuples(st.integers(1, 300), st.integers(1, 400), st.integers(1, 300))


@pytest.mark.parametrize("name", FORMATS)
@given(size=SIZES, seed=st.integers(0, 99))
def test_macs_are_conserved_and_traffic_is_at_least_compulsory(
    name: str, size: tuple[int, int, int], seed: int
) -> None:
    m, k, n = size
    layer = gemm_layer("fc", m, k, n)
    mask = masked(name, layer, seed)
    planned = plan_layer(make_task(layer, name, mask))
    assert planned.macs_done + planned.macs_gated + planned.macs_skipped == layer.macs
    assert min(planned.macs_done, planned.macs_skipped) >= 0
    assert planned.macs_done >= (layer.macs if mask is None else int(mask.sum()) * n)
    plan = planned.plan
    stored = planned.weight_bytes + planned.metadata_bytes
    used = k if mask is None or name == "nm" else int(mask.any(axis=0).sum())
    fetched = plan.fetch_bytes.sum(axis=0)
    if name == "dense" or (mask is not None and mask.any()):
        assert fetched[WEIGHTS_DRAM] >= stored
        assert fetched[INPUTS_DRAM] >= used * n * 2 - n
    assert np.all(plan.drain_bytes.sum(axis=0) >= m * n * 2)
    assert fetched[WEIGHTS_L2] >= fetched[WEIGHTS_DRAM]


@given(size=SIZES)
def test_an_infinite_l2_reads_every_byte_from_dram_once(size: tuple[int, int, int]) -> None:
    m, k, n = size
    layer = gemm_layer("fc", m, k, n)
    planned = plan_layer(make_task(layer, "dense", None, with_l2(None)))
    fetched = planned.plan.fetch_bytes.sum(axis=0)
    assert fetched[WEIGHTS_DRAM] == m * k * 2
    assert fetched[INPUTS_DRAM] == k * n * 2
    assert planned.plan.drain_bytes[:, 1].sum() == m * n * 2


def test_an_infinite_l2_reads_a_convolution_input_once() -> None:
    conv = ConvShape(
        batch=2,
        in_channels=16,
        in_height=20,
        in_width=20,
        kernel_height=3,
        kernel_width=3,
        out_height=20,
        out_width=20,
        padding=(1, 1, 1, 1),
    )
    layer = conv_layer("conv", conv, 130)
    for name in ("dense", "csr"):
        planned = plan_layer(make_task(layer, name, None, with_l2(None)))
        assert planned.plan.fetch_bytes[:, INPUTS_DRAM].sum() == layer.input_elements * 2
        stored = planned.weight_bytes + planned.metadata_bytes
        assert planned.plan.fetch_bytes[:, WEIGHTS_DRAM].sum() == stored


def test_a_small_l2_streams_operands_again() -> None:
    layer = gemm_layer("fc", 2048, 2048, 2048)
    moved = [
        plan_layer(make_task(layer, "dense", None, with_l2(capacity))).plan.fetch_bytes[:, [1, 3]].sum()
        for capacity in (1e5, 4e6, 4e7)
    ]
    assert moved[0] > moved[1] > moved[2] == 2 * 2048 * 2048 * 2


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    slices=st.integers(1, 4),
    resident=st.integers(1, 20),
    capacity=st.integers(0, 4000),
    seed=st.integers(0, 999),
)
def test_the_l2_counter_is_the_bytes_inserted_since_the_last_touch(
    rows: int, columns: int, slices: int, resident: int, capacity: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights, inputs, unique = (
        generator.integers(1, 200, (panels, slices)) for panels in (rows, columns, columns)
    )
    order = generator.permutation(rows * columns)
    w, x = np.divmod(order, columns)
    out = generator.integers(0, 100, len(order))
    starts = np.arange(len(order) + 1) * slices
    got = tile_traffic(w, x, np.zeros_like(w), starts, weights, inputs, unique, out, resident, capacity)
    expected = np.zeros_like(got)
    log: list[int] = []  # bytes inserted, one entry each
    touched: dict[tuple[str, int, int], int] = {}  # length of the log at the last touch
    for wave in range(0, len(order), resident):
        for step in range(slices):
            for b in range(wave, min(wave + resident, len(order))):
                for column, key, size, new in (
                    (0, ("w", int(w[b]), step), weights[w[b], step], weights[w[b], step]),
                    (2, ("x", int(x[b]), step), inputs[x[b], step], unique[x[b], step]),
                ):
                    expected[starts[b] + step, column] = size
                    if key not in touched or sum(log[touched[key] :]) > capacity:
                        expected[starts[b] + step, column + 1] = new
                        log.append(int(new))
                    touched[key] = len(log)
        log.extend(int(size) for size in out[wave : wave + resident])
    assert np.array_equal(got, expected)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    density=st.floats(0, 1),
    rows=st.integers(1, 5),
    stride=st.integers(1, 6),
    share=st.integers(1, 4),
)
def test_distinct_columns_are_first_touches_of_each_l1(
    shape: tuple[int, int], density: float, rows: int, stride: int, share: int
) -> None:
    mask = random_mask(*shape, density)
    order = np.random.default_rng(1).permutation(shape[0])
    got = distinct_columns(mask, order, rows, stride, share)
    seen: dict[tuple[int, int], set[int]] = {}
    for block in range(len(got)):
        members = seen.setdefault((block % stride, block // stride // share), set())
        columns = set(np.nonzero(mask[order[block * rows : (block + 1) * rows]].any(axis=0))[0].tolist())
        assert got[block] == len(columns - members)
        members |= columns


@given(shape=st.tuples(st.integers(1, 30), st.integers(1, 30)), block=st.tuples(*[st.integers(1, 7)] * 2))
def test_kept_blocks_are_those_with_a_kept_weight(shape: tuple[int, int], block: tuple[int, int]) -> None:
    mask = random_mask(*shape, 0.1)
    got = kept_blocks(mask, *block)
    for i, j in np.ndindex(got.shape):
        part = mask[i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
        assert got[i, j] == part.any()


def test_block_traffic_with_an_infinite_l2_touches_each_operand_once() -> None:
    kept = np.array([[True, False, True, True], [False, False, False, False], [True, True, False, False]])
    pointers = np.array([0, 3, 3, 5])
    columns = np.nonzero(kept)[1]
    weights = np.array([7, 5, 3, 2, 11])
    inputs = np.array([[10, 20, 30, 40], [1, 2, 3, 4]])
    block_row, panel = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    starts = np.array([0, 2, 3, 4, 6, 7, 8])
    out = np.ones(6, dtype=np.int64)
    got = block_traffic(
        block_row, panel, starts, pointers, columns, 2, weights, inputs, inputs, out, 3, 10**9
    )
    assert got[:, WEIGHTS_L2].sum() == 2 * weights.sum()
    assert got[:, WEIGHTS_DRAM].sum() == weights.sum()
    assert got[:, INPUTS_DRAM].sum() == inputs.sum()
    assert got[0].tolist() == [12, 12, 40, 40]  # blocks 0 and 1 of row 0 meet input columns 0 and 2


def test_tiles_cover_the_output_of_every_product_of_a_batch() -> None:
    tile = ThreadBlockTile(shape=(64, 32, 32), blocks_per_unit=2, stages=2, fill_cycles=0.0)
    kernel = TileKernel(tiles=(tile,), efficiency=1.0)
    machine = with_gpu(dense=kernel)
    single = plan_layer(make_task(gemm_layer("fc", 130, 100, 33), machine=machine))
    assert single.plan.tiles == 3 * 2
    assert np.array_equal(np.diff(single.plan.slice_start), np.full(6, math.ceil(100 / 32)))
    attention = Layer(
        name="qk", kind=LayerKind.MATMUL, m=5 * 130, k=100, n=33, groups=5,
        input_elements=5 * (130 * 100 + 100 * 33), output_elements=5 * 130 * 33,
    )  # fmt: skip
    batch = plan_layer(make_task(attention, machine=machine))
    assert batch.plan.tiles == 5 * 6
    assert (batch.weight_bytes, batch.metadata_bytes) == (0, 0)
    dram = batch.plan.fetch_bytes[:, [WEIGHTS_DRAM, INPUTS_DRAM]].sum()
    assert dram == attention.input_elements * 2


def test_a_split_k_keeps_the_work_and_adds_l2_traffic_of_partial_sums() -> None:
    layer = gemm_layer("fc", 256, 8192, 256)
    tile = ThreadBlockTile(shape=(128, 128, 64), blocks_per_unit=1, stages=3, fill_cycles=100.0)
    plans = [
        plan_layer(
            make_task(
                layer,
                machine=with_gpu(dense=TileKernel(tiles=(tile,), efficiency=1.0, maximum_split=most)),
            )
        )
        for most in (1, 8)
    ]
    whole, split = (planned.plan for planned in plans)
    assert split.tiles == 8 * whole.tiles
    assert split.fetch_bytes.sum() == whole.fetch_bytes.sum()
    assert split.drain_bytes[:, 1].sum() == whole.drain_bytes[:, 1].sum() == 256 * 256 * 2
    assert split.drain_bytes[:, 0].sum() > whole.drain_bytes[:, 0].sum()
    assert time_s(plans[1]) < time_s(plans[0])


@given(size=st.tuples(*[st.sampled_from([64, 200, 512, 1000])] * 3))
def test_two_of_four_takes_at_least_half_the_dense_pipe_time(size: tuple[int, int, int]) -> None:
    layer = gemm_layer("fc", *size)
    structured = gpu().structured
    assert structured is not None
    kernel = dataclasses.replace(structured.kernel, tiles=gpu().dense.tiles[:1], maximum_split=1)
    machine = with_gpu(
        structured=dataclasses.replace(structured, kernel=kernel),
        dense=dataclasses.replace(gpu().dense, tiles=gpu().dense.tiles[:1], maximum_split=1),
    )
    dense = plan_layer(make_task(layer, machine=machine)).plan.compute_cycles.sum()
    sparse = plan_layer(make_task(layer, "nm", two_of_four(layer.m, layer.k), machine)).plan
    assert sparse.compute_cycles.sum() >= dense / 2


@given(seed=st.integers(0, 999))
def test_csr_work_grows_with_density_at_equal_rows(seed: int) -> None:
    scores = np.random.default_rng(seed).random((64, 256)).argsort(axis=1)
    layer = gemm_layer("fc", 64, 256, 100)
    before = (0.0, 0)
    for kept in (0, 16, 17, 64, 128, 256):
        plan = plan_layer(make_task(layer, "csr", scores < kept)).plan
        now = (float(plan.compute_cycles.sum()), int(plan.fetch_bytes[:, [0, 2]].sum()))
        assert now[0] >= before[0]
        assert now[1] > before[1]
        before = now


def test_a_csr_block_waits_for_its_longest_row() -> None:
    layer = gemm_layer("fc", 400, 512, 64)
    even = np.zeros((400, 512), dtype=np.bool_)
    even[:, :64] = True
    skewed = np.zeros_like(even)
    skewed[:50] = True  # the same number of kept weights in one row of eight
    balanced, uneven = (plan_layer(make_task(layer, "csr", mask)).plan for mask in (even, skewed))
    assert uneven.compute_cycles.max() > 5 * balanced.compute_cycles.max()
    assert execute(uneven).makespan_ticks > execute(balanced).makespan_ticks


def test_bundled_csr_blocks_keep_all_work_and_nearly_the_time() -> None:
    layer = gemm_layer("fc", 512, 256, 8192)
    mask = random_mask(512, 256, 0.2)
    kernel = gpu().csr
    assert kernel is not None
    bundled = plan_layer(make_task(layer, "csr", mask)).plan
    single = plan_layer(
        make_task(layer, "csr", mask, with_gpu(csr=dataclasses.replace(kernel, blocks_per_unit=7)))
    ).plan
    assert single.tiles == 128 * 128 > bundled.tiles
    assert bundled.fetch_bytes[:, 0].sum() == single.fetch_bytes[:, 0].sum()
    assert bundled.compute_cycles.sum() == pytest.approx(single.compute_cycles.sum())
    assert time_s_of(bundled) == pytest.approx(time_s_of(single), rel=0.1)


def time_s_of(plan: Any) -> float:
    return execute(plan).total_cycles / A100.clock_hz


def test_rows_of_kept_blocks_have_a_k_of_their_own() -> None:
    layer = gemm_layer("fc", 64, 256, 128)
    mask = np.zeros((64, 256), dtype=np.bool_)
    mask[:16, :] = True
    mask[16:32, :32] = True
    planned = plan_layer(make_task(layer, "bsr:16x16", mask))
    assert np.diff(planned.plan.slice_start).tolist() == [4, 1, 1, 1]  # 16, 2, 0 and 0 blocks by four
    assert planned.macs_done == int(mask.sum()) * 128
    kernel = gpu().bsr
    assert kernel is not None
    rate = A100.macs_per_cycle["fp16"] * kernel.efficiency / 2  # blocks of half the reference side
    assert planned.plan.compute_cycles.sum() == pytest.approx(18 * 16 * 16 * 128 / rate)


@pytest.mark.parametrize("name", FORMATS)
@given(size=SIZES)
def test_a_plan_is_bound_by_at_least_the_roofline(name: str, size: tuple[int, int, int]) -> None:
    layer = gemm_layer("fc", *size)
    task = make_task(layer, name, masked(name, layer))
    planned = plan_layer(task)
    plan = planned.plan
    stored = planned.weight_bytes + planned.metadata_bytes
    dram = A100.bytes_per_cycle("dram")
    assert dram is not None
    rate = A100.macs_per_cycle["fp16"] * A100.units * (2 if name == "nm" else 1)
    roofline = max(planned.macs_done / 2 / rate, (stored + layer.output_elements * 2) / dram)
    channel = plan.fetch_bytes[:, [1, 3]].sum() + plan.drain_bytes[:, 1].sum()
    bound = max(plan.compute_cycles.sum() / plan.units, channel / plan.channels[1].bytes_per_cycle)
    if task.weights.nnz:
        assert roofline <= bound * (1 + 1e-9)
        assert bound <= execute(plan).total_cycles


def test_depthwise_convolutions_run_on_the_vector_cores() -> None:
    conv = ConvShape(
        batch=1, in_channels=32, in_height=28, in_width=28, kernel_height=3, kernel_width=3,
        out_height=28, out_width=28, padding=(1, 1, 1, 1),
    )  # fmt: skip
    layer = conv_layer("dw", conv, 32, groups=32)
    planned = plan_layer(make_task(layer))
    assert planned.kernel.startswith("direct")
    assert planned.macs_done == layer.macs
    moved = (layer.input_elements + layer.output_elements + layer.weight_elements) * 2
    assert planned.plan.fetch_bytes[:, [1, 3]].sum() + planned.plan.drain_bytes[:, 1].sum() == moved
    with pytest.raises(UnsupportedError, match="run dense, got csr"):
        plan_layer(make_task(layer, "csr", random_mask(32, 9, 0.5)))


def test_kernels_say_what_they_cannot_run() -> None:
    layer = gemm_layer("fc", 64, 64, 64)
    none = np.zeros((64, 64), dtype=np.bool_)
    attention = dataclasses.replace(layer, kind=LayerKind.MATMUL)
    support = dataclasses.replace(A100.formats["nm"], parameters={})
    other = dataclasses.replace(A100, formats={**A100.formats, "nm": support, "coo": support})
    cases = (
        (make_task(layer, "nm:1:4", none, other), "2:4 only, got 1:4"),
        (make_task(layer, "nm", none, dtype="fp32"), "fp16, bf16, int8 only, got fp32"),
        (make_task(layer, "nm", none, with_gpu(structured=None)), "no matrix pipe that skips"),
        (make_task(layer, "csr", none, dtype="int8"), "no csr kernel in int8"),
        (make_task(attention, "csr", none), "both operands of this product are activations"),
        (make_task(layer, "bsr:4x2", none), "at least 16x16, got 4x2"),
        (make_task(layer, "coo", none, other), "no kernel for coo"),
    )
    for task, message in cases:
        with pytest.raises(UnsupportedError, match=message):
            plan_layer(task)


def test_parameters_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="dram_efficiency"):
        with_gpu(dram_efficiency=1.5)
    with pytest.raises(UsageError, match="at least one tile"):
        with_gpu(dense=TileKernel(tiles=(), efficiency=1.0))
    with pytest.raises(UsageError, match="sizes >= 1"):
        ThreadBlockTile(shape=(0, 1, 1), blocks_per_unit=1, stages=1, fill_cycles=0)
    with pytest.raises(UsageError, match="preference"):
        ThreadBlockTile(shape=(1, 1, 1), blocks_per_unit=1, stages=1, fill_cycles=0, preference=2)


def test_the_power_budget_cuts_the_clock_of_matrix_pipes_only() -> None:
    task = make_task(gemm_layer("fc", 64, 64, 64))
    assert clock_share(task, 1.0) == pytest.approx(math.sqrt(gpu().power_ratio))
    assert clock_share(task, 0.1) == 1.0
    assert clock_share(make_task(task.layer, dtype="fp32"), 1.0) == 1.0
    assert clock_share(make_task(task.layer, machine=with_gpu(power_ratio=1.0)), 1.0) == 1.0


# tokens, k, m, dense ms, 2:4 ms. Sources: Frantar and Alistarh, SparseGPT, arXiv 2301.00774, table 8 (CUTLASS
# and cuBLAS); pytorch/tutorials semi_structured_sparse.rst @11af4a0; NVIDIA/cutlass issue 408 (locked clock).
MEASURED = {
    "OPT-175B attention": (2048, 12288, 12288, 2.84, 1.59),
    "OPT-175B FC1": (2048, 12288, 49152, 10.26, 6.15),
    "OPT-175B FC2": (2048, 49152, 12288, 10.23, 6.64),
    "PyTorch": (3072, 10240, 3072, 0.87, 0.63),
    "locked": (16384, 16384, 16384, 29.1, 18.17),
}


@pytest.mark.parametrize("name", MEASURED)
def test_large_products_take_the_measured_time_within_a_tenth(name: str) -> None:
    tokens, k, m, dense_ms, sparse_ms = MEASURED[name]
    machine = with_gpu(power_ratio=1.0) if name == "locked" else A100
    layer = gemm_layer(name, m, k, tokens)
    dense = 1e3 * time_s(plan_layer(uniform_task(layer, "dense", machine)))
    if name == "PyTorch":  # its kernel: 128x128x64 tiles, rows fastest, outputs transposed afterwards
        structured = gpu().structured
        assert structured is not None
        tiles = tuple(tile for tile in structured.kernel.tiles if tile.shape == (128, 128, 64))
        kernel = dataclasses.replace(structured.kernel, tiles=tiles, raster_group=0, output_copies=1)
        machine = with_gpu(structured=dataclasses.replace(structured, kernel=kernel))
    sparse = 1e3 * time_s(plan_layer(uniform_task(layer, "nm", machine)))
    assert dense == pytest.approx(dense_ms, rel=0.1)
    assert sparse == pytest.approx(sparse_ms, rel=0.1)
    assert dense / sparse == pytest.approx(dense_ms / sparse_ms, rel=0.1)


def test_a_decode_step_streams_its_weights_once() -> None:
    for name, mask in (("dense", None), ("nm", two_of_four(4096, 4096))):
        planned = plan_layer(make_task(gemm_layer("q", 4096, 4096, 4), name, mask))
        stored = planned.weight_bytes + planned.metadata_bytes
        assert planned.plan.fetch_bytes[:, WEIGHTS_DRAM].sum() == stored
        floor = stored / (0.88 * 2.0e12)
        assert floor < time_s(planned) - A100.launch_s < 1.3 * floor


def test_a_large_product_draws_about_the_tdp() -> None:
    layer = gemm_layer("fc", 8192, 4096, 4096)
    planned = plan_layer(make_task(layer))
    ran = execute(planned.plan)
    moved = {
        (channel.priced_as, "byte"): int(count)
        for channel, count in zip(planned.plan.channels, ran.channel_bytes, strict=True)
    }
    picojoules = sum(A100.energy_pj[c][a] * n for (c, a), n in {**planned.counts, **moved}.items())
    seconds = ran.total_cycles / A100.clock_hz
    assert A100.tdp_w is not None
    assert 0.9 * A100.tdp_w < picojoules * 1e-12 / seconds + A100.static_w < 1.05 * A100.tdp_w
