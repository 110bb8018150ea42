"""SCNN and its dense twins against brute force and the formulas of their description."""

from __future__ import annotations

import dataclasses
from collections import deque
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.dataflows.cartesian import plan_layer
from simsparse.dataflows.task import ActivationOperand, LayerPlan, LayerTask, WeightOperand
from simsparse.dataflows.tiling import ceil_div
from simsparse.errors import UnsupportedError, UsageError
from simsparse.explanation import explain
from simsparse.formats import make_format
from simsparse.hardware import HardwareModel
from simsparse.ir import ConvShape, Layer, LayerKind, Workload, conv_layer, gemm_layer
from simsparse.kernels.count_banks import bank_cycles
from simsparse.kernels.count_windows import window_columns, window_union
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.simulate import simulate_layer


@pytest.fixture(scope="module")
def scnn() -> HardwareModel:
    return load_hardware("scnn")


def conv(
    channels: int, side: int, kernel: int, filters: int, *, stride: int = 1, pad: int = 0, **options: int
) -> Layer:
    batch, groups, dilation = (options.get(name, 1) for name in ("batch", "groups", "dilation"))
    out = (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    shape = ConvShape(
        batch=batch,
        in_channels=channels,
        in_height=side,
        in_width=side,
        kernel_height=kernel,
        kernel_width=kernel,
        out_height=out,
        out_width=out,
        stride=(stride, stride),
        padding=(pad,) * 4,
        dilation=(dilation, dilation),
    )
    return conv_layer("conv", shape, filters, groups=groups)


def planned(layer: Layer, hardware: HardwareModel, weights: np.ndarray | None, density: float) -> LayerPlan:
    operand = WeightOperand(layer.m, layer.k, weights)
    name = next(iter(hardware.formats))
    task = LayerTask(
        layer=layer,
        hardware=hardware,
        weights=operand,
        activations=ActivationOperand(layer, density=density, seed=5),
        format=make_format(name),
        support=hardware.formats[name],
        footprint=make_format(name).footprint(operand.dense_mask, value_bits=16),
        dtype="int16",
    )
    return plan_layer(task)


def run(layer: Layer, hardware: HardwareModel, weights: np.ndarray | None, density: float) -> LayerResult:
    operand = WeightOperand(layer.m, layer.k, weights)
    inputs = ActivationOperand(layer, density=density, seed=5)
    runner = LayerRunner(hardware=hardware, dtype="int16")
    return runner.product(layer, operand, inputs, tuple(hardware.formats), None)


def brute_force(layer: Layer, weights: np.ndarray, inputs: np.ndarray) -> tuple[int, int]:
    """(products with an output, all products formed): one input and one weight at a time."""
    shape = layer.conv
    assert shape is not None
    stride, pad, dilation = shape.stride[0], shape.padding[0], shape.dilation[0]
    per_group, rows = shape.in_channels // layer.groups, layer.m // layer.groups
    cube = weights.reshape(layer.m, per_group, shape.kernel_height, shape.kernel_width)
    real = formed = 0
    for _, c, y, x in np.argwhere(inputs):
        group = c // per_group
        filters = cube[group * rows : (group + 1) * rows, c % per_group]
        for _, r, s in np.argwhere(filters):
            down, right = y + pad - r * dilation, x + pad - s * dilation
            if down % stride or right % stride:
                continue
            formed += 1
            real += 0 <= down // stride < shape.out_height and 0 <= right // stride < shape.out_width
    return real, formed


@settings(max_examples=40)
@given(st.data())
def test_scnn_forms_every_product_of_nonzeros_of_one_phase_and_keeps_the_real_ones(
    data: st.DataObject,
) -> None:
    channels, groups = data.draw(st.sampled_from([(2, 1), (4, 2), (3, 3)]))
    stride, kernel = data.draw(st.sampled_from([1, 2, 3])), data.draw(st.sampled_from([1, 2, 3]))
    pad, dilation = data.draw(st.integers(0, kernel // 2 + 1)), data.draw(st.sampled_from([1, 2]))
    side, batch = data.draw(st.integers(6, 11)), data.draw(st.integers(1, 2))
    density = data.draw(st.sampled_from([0.0, 0.4, 1.0]))
    options = {"groups": groups, "batch": batch, "dilation": dilation}
    layer = conv(channels, side, kernel, groups * 5, stride=stride, pad=pad, **options)
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).random((layer.m, layer.k)) < 0.5
    inputs = ActivationOperand(layer, density=density, seed=5).tensor
    counts = planned(layer, load_hardware("scnn"), weights, density).counts
    real, formed = brute_force(layer, weights, inputs)
    assert counts[("mac", "int16")] == counts[("accumulator", "update")] == real
    assert counts[("crossbar", "product")] == real + counts[("mac", "dropped")] == formed


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 40), st.sampled_from([0.2, 0.9]), st.integers(0, 99))
def test_scnn_work_is_the_vectors_of_inputs_times_those_of_weights(
    side: int, filters: int, density: float, seed: int
) -> None:
    layer = conv(3, side, 3, filters, pad=1)
    weights = np.random.default_rng(seed).random((layer.m, layer.k)) < density
    plan = planned(layer, load_hardware("scnn"), weights, density).plan
    tensor = ActivationOperand(layer, density=density, seed=5).tensor[0]
    tile = -(-side // 8)
    expected = []
    for first in range(0, filters, 8):
        for c in range(3):
            kept = int(weights[first : first + 8, 9 * c : 9 * c + 9].sum())
            tiles = [
                tensor[c, i * tile : (i + 1) * tile, j * tile : (j + 1) * tile].sum()
                for i in range(8)
                for j in range(8)
            ]
            if kept:
                expected.append(-(-np.array(tiles) // 4) * -(-kept // 4))
    np.testing.assert_array_equal(plan.work[plan.work_row] * plan.work_scale[:, None], expected)
    bits = planned(layer, load_hardware("scnn"), weights, density)
    assert int(plan.fetch_bytes.sum()) == bits.weight_bytes + bits.metadata_bytes


def slow_bank(k: int, x: int, y: int, banks: int) -> int:
    """The published hash, as printed."""
    high = ((k & 4) << 2) ^ ((x & 2) << 3) ^ ((y & 2) << 3)
    return (high + ((x & 1) << 3) + ((y & 1) << 2) + (k & 3)) % banks


def slow_cycles(
    layer: Layer, weights: np.ndarray, inputs: np.ndarray, pe: int, banks: int, queue: int
) -> int:
    """Cycles of one PE and all its channels, cycle by cycle: products wait one by one, multipliers stall."""
    shape = layer.conv
    assert shape is not None
    (stride, pad, dilation), kernel = (
        (shape.stride[0], shape.padding[0], shape.dilation[0]),
        shape.kernel_width,
    )
    tile = ceil_div(ceil_div(shape.in_height, stride), 8) * stride
    rows = range(pe // 8 * tile, min(pe // 8 * tile + tile, shape.in_height))
    columns = range(pe % 8 * tile, min(pe % 8 * tile + tile, shape.in_width))
    waiting: list[deque[int]] = [deque() for _ in range(banks)]
    cycles = 0
    for c, down, right in product(range(shape.in_channels), range(stride), range(stride)):
        kept = [
            (k, r, s)
            for r, s, k in product(range(kernel), range(kernel), range(layer.m))
            if weights[k, (c * kernel + r) * kernel + s]
            and (r * dilation % stride, s * dilation % stride) == (down, right)
        ]
        found = [
            (y + pad, x + pad)
            for y, x in product(rows, columns)
            if inputs[0, c, y, x] and ((y + pad) % stride, (x + pad) % stride) == (down, right)
        ]
        for a, w in product(range(0, len(found), 4), range(0, len(kept), 4)):
            for (y, x), (k, r, s) in product(found[a : a + 4], kept[w : w + 4]):
                py, px = (y - r * dilation) // stride, (x - s * dilation) // stride
                if 0 <= py < shape.out_height and 0 <= px < shape.out_width:
                    waiting[slow_bank(k, px, py, banks)].append(k)
            while True:
                cycles += 1
                for bank in waiting:
                    if bank:
                        bank.popleft()
                if all(len(bank) <= queue for bank in waiting):
                    break
    return cycles


@settings(max_examples=25)
@given(st.data())
def test_bank_conflicts_are_those_of_products_that_wait_one_by_one(data: st.DataObject) -> None:
    stride, kernel, pad = (data.draw(st.sampled_from(some)) for some in ([1, 1, 2, 3], [1, 2, 3], [0, 1]))
    banks, queue = data.draw(st.sampled_from([32, 32, 7, 1])), data.draw(st.integers(0, 9))
    dilation, side = data.draw(st.sampled_from([1, 1, 2])), data.draw(st.integers(8, 19))
    layer = conv(3, side, kernel, 7, stride=stride, pad=pad, dilation=dilation)
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).random((layer.m, layer.k)) < 0.6
    inputs = ActivationOperand(layer, density=0.7, seed=5).tensor
    pe = data.draw(st.sampled_from([0, 1, 8, 9]))
    tile = ceil_div(ceil_div(side, stride), 8)
    shape = layer.conv
    assert shape is not None
    geometry = (stride, stride, pad, pad, tile, tile, 8, 8, kernel, kernel, dilation, dilation)
    cycles, _ = bank_cycles(
        weights,
        inputs,
        np.array([*geometry, shape.out_height, shape.out_width]),
        np.array([1, 8, 4, 4, banks, queue]),
        np.array([[0, pe, 0, 0, 0]]),
        10**6,
    )
    assert cycles == slow_cycles(layer, weights, inputs, pe, banks, queue)


def conflicts(hardware: HardwareModel, layer: Layer, density: float, **changed: int) -> float:
    weights = np.random.default_rng(3).random((layer.m, layer.k)) < density
    dataflow = dataclasses.replace(hardware.dataflow, **changed)
    machine = dataclasses.replace(hardware, dataflow=dataflow)
    return planned(layer, machine, weights, density).plan.cycles_per_work


def test_conflicts_fall_with_the_depth_of_the_queues_and_end_with_it(scnn: HardwareModel) -> None:
    layer = conv(8, 48, 3, 32, pad=1)
    factors = [conflicts(scnn, layer, 0.4, accumulator_queue=depth) for depth in (0, 1, 2, 4, 8, 10**6)]
    assert factors == sorted(factors, reverse=True)
    assert 1.2 < factors[0] < 3
    assert factors[-2] < 1.02
    assert factors[-1] == 1.0


def test_one_bank_takes_the_products_of_a_step_one_after_the_other(scnn: HardwareModel) -> None:
    layer = conv(8, 32, 1, 32)  # 16 inputs per PE and channel, no product is dropped
    one = conflicts(scnn, layer, 1.0, accumulator_banks=1, accumulator_queue=0)
    assert one == 16.0
    assert conflicts(scnn, layer, 1.0, accumulator_banks=2, accumulator_queue=0) == 8.0
    assert conflicts(scnn, layer, 1.0, accumulator_queue=0) == 1.0  # the hash spreads dense vectors evenly


def test_conflicts_stretch_compute_and_are_named(scnn: HardwareModel) -> None:
    layer = conv(64, 32, 3, 64, pad=1)
    dataflow = dataclasses.replace(scnn.dataflow, accumulator_banks=1, accumulator_queue=0)
    narrow = dataclasses.replace(scnn, dataflow=dataflow)
    weights = np.random.default_rng(3).random((layer.m, layer.k)) < 0.4
    free, slow = run(layer, scnn, weights, 0.4), run(layer, narrow, weights, 0.4)
    assert 8 < slow.cycles / free.cycles < 16
    assert slow.energy_j == pytest.approx(free.energy_j)
    model = Workload(name="net", source="test", layers=(layer,))
    terms = {term.name: term for term in explain(model, on=narrow, prune="unstructured:0.6").terms}
    assert terms["bank conflicts"].factor != pytest.approx(1.0, abs=0.01)


def test_weights_larger_than_the_queue_come_in_parts(scnn: HardwareModel) -> None:
    layer = conv(1, 16, 7, 16, pad=3)  # 392 weights per block: 98 vectors for a queue of 50
    plan = planned(layer, scnn, None, 1.0).plan
    assert plan.work_scale.tolist() == plan.credits.tolist() == [50, 48, 50, 48]
    assert plan.barrier.tolist() == [0, 0, 1, 1]


def test_a_plane_that_does_not_divide_by_the_grid_wastes_pes(scnn: HardwareModel) -> None:
    full, ragged = (simulate_layer(conv(64, side, 3, 64, pad=1), scnn) for side in (16, 13))
    assert ragged.cycles == pytest.approx(full.cycles, rel=0.02)  # tiles of 2 x 2 in both
    assert ragged.utilisation == pytest.approx(full.utilisation * (13 / 16) ** 2, rel=0.06)


def test_a_stride_as_wide_as_the_kernel_drops_no_product(scnn: HardwareModel) -> None:
    result = simulate_layer(conv(4, 16, 2, 8, stride=2), scnn)
    assert result.counts[("mac", "dropped")] == 0
    assert result.cost.macs_done == result.cost.macs_dense


def test_padding_is_skipped(scnn: HardwareModel) -> None:
    result = simulate_layer(conv(1, 4, 3, 8, pad=1), scnn)
    inside = sum(min(y + 1, 3) - max(y - 1, 0) + 1 for y in range(4)) ** 2
    assert result.cost.macs_done == 8 * inside < result.cost.macs_dense


def test_images_follow_each_other(scnn: HardwareModel) -> None:
    one, two = (simulate_layer(conv(8, 9, 3, 16, pad=1, batch=batch), scnn) for batch in (1, 2))
    assert two.cycles == 2 * one.cycles
    drawn = [run(conv(8, 9, 3, 16, pad=1, batch=batch), scnn, None, 0.5) for batch in (1, 2)]
    assert drawn[1].cycles == pytest.approx(2 * drawn[0].cycles, rel=0.1)
    assert drawn[1].cost.dram_bytes == 2 * drawn[0].cost.dram_bytes


def test_columns_of_a_linear_layer_are_dealt_to_the_pes(scnn: HardwareModel) -> None:
    wide, narrow = (simulate_layer(gemm_layer("fc", 64, 256, n), scnn) for n in (256, 1))
    assert wide.cycles == pytest.approx(narrow.cycles, rel=0.02)  # 4 columns per PE are one vector
    assert narrow.utilisation < 1 / 64


@pytest.mark.parametrize("name", ["scnn", "dcnn", "dcnn-opt"])
def test_activations_that_do_not_fit_are_paid_in_full(name: str) -> None:
    hardware = load_hardware(name)
    layer = conv(16, 32, 3, 16, pad=1)
    stored = {"scnn": 20, "dcnn": 16, "dcnn-opt": 16}[name]  # all dense, so coding would only add to dcnn-opt
    tile_bytes = 16 * 16 * stored / 8
    outcome = []
    for capacity in (tile_bytes, tile_bytes - 1):
        dataflow = dataclasses.replace(hardware.dataflow, activation_capacity_bytes=capacity)
        outcome.append(simulate_layer(layer, dataclasses.replace(hardware, dataflow=dataflow)))
    fits, spills = outcome
    extra = 2 * 16 * 32 * 32 * stored // 8
    assert spills.cost.dram_bytes - fits.cost.dram_bytes == extra
    assert spills.cycles - fits.cycles == pytest.approx(extra / 50, abs=0.01)
    assert fits.cost.dram_bytes == fits.cost.stored_bytes


def test_dcnn_takes_the_largest_tile_times_all_products() -> None:
    layer = conv(192, 13, 3, 384, pad=1)
    result = simulate_layer(layer, "dcnn")
    compute = 2 * 2 * layer.m * layer.k / 16
    first_block = 8 * layer.k * 2 / 50  # weights of the first block are waited for
    assert compute <= result.cycles <= compute + first_block + 2


def test_gating_and_compression_save_energy_and_traffic_but_no_compute_time() -> None:
    layer = conv(64, 28, 3, 64, pad=1)
    weights = np.random.default_rng(1).random((layer.m, layer.k)) < 0.3
    plain, optimised = (run(layer, load_hardware(name), weights, 0.4) for name in ("dcnn", "dcnn-opt"))
    assert optimised.cycles == pytest.approx(plain.cycles, rel=0.01)
    assert optimised.energy_j < 0.7 * plain.energy_j
    assert optimised.cost.dram_bytes < 0.6 * plain.cost.dram_bytes
    assert plain.cost.macs_done == layer.macs > optimised.cost.macs_done
    assert optimised.cost.macs_gated == layer.macs - optimised.cost.macs_done


def test_what_the_machines_cannot_run_is_said(scnn: HardwareModel) -> None:
    product = Layer(name="qk", kind=LayerKind.MATMUL, m=8, k=8, n=8, input_elements=128, output_elements=64)
    for name in ("scnn", "dcnn"):
        with pytest.raises(UnsupportedError, match="both operands are activations"):
            simulate_layer(product, name)
    dataflow = dataclasses.replace(scnn.dataflow, grid=(8, 4))
    with pytest.raises(
        UsageError, match=r"scnn: dataflow.grid: expected rows x columns = 64 units, got 8 x 4"
    ):
        simulate_layer(gemm_layer("fc", 8, 8, 8), dataclasses.replace(scnn, dataflow=dataflow))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.integers(0, 99))
def test_the_union_of_windows_gives_back_the_inputs_that_they_meet(
    kernel: int, stride: int, pad: int, batch: int, seed: int
) -> None:
    layer = conv(2, 7, kernel, 1, stride=stride, pad=min(pad, kernel - 1), batch=batch)
    shape = layer.conv
    assert shape is not None
    geometry = np.array(
        [kernel, kernel, shape.out_height, shape.out_width, stride, stride, *shape.padding[:2], 1, 1]
    )
    tensor = np.random.default_rng(seed).random((batch, 2, 7, 7)) < 0.5
    size = np.array(tensor.shape)
    met = window_union(window_columns(np.ones_like(tensor), geometry).T.copy(), size, geometry)
    found = window_union(window_columns(tensor, geometry).T.copy(), size, geometry)
    np.testing.assert_array_equal(found, tensor & met)
    if stride <= kernel:
        reach = (shape.out_height - 1) * stride + kernel - shape.padding[0]
        assert met[:, :, :reach, :reach].all()
