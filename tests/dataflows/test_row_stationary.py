"""Eyeriss v1: the mapping the paper publishes, zeros that never save time, and run-length coding."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.dataflows.row_stationary_mapping import Mapping, RowConv, mapping
from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.errors import UnsupportedError
from simsparse.formats import make_format
from simsparse.hardware import HardwareModel, RowStationaryParameters
from simsparse.ir import ConvShape, Layer, LayerKind, conv_layer, gemm_layer
from simsparse.kernels.count_runs import run_entries
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.simulate import simulate_layer
from simsparse.validation.data_files import table
from simsparse.validation.eyeriss_v1 import alexnet_layer


@pytest.fixture(scope="module")
def eyeriss() -> HardwareModel:
    return load_hardware("eyeriss-v1")


def conv(channels: int, side: int, kernel: int, filters: int, *, batch: int = 1, groups: int = 1) -> Layer:
    shape = ConvShape(
        batch=batch,
        in_channels=channels,
        in_height=side,
        in_width=side,
        kernel_height=kernel,
        kernel_width=kernel,
        out_height=side,
        out_width=side,
        padding=(kernel // 2,) * 4,
    )
    return conv_layer("conv", shape, filters, groups=groups)


def run(layer: Layer, hardware: HardwareModel, density: float) -> LayerResult:
    inputs = ActivationOperand(layer, density=density, seed=3)
    runner = LayerRunner(hardware=hardware, dtype="int16")
    return runner.product(layer, WeightOperand(layer.m, layer.k), inputs, ("dense",), None)


def chosen(layer: Layer, hardware: HardwareModel) -> tuple[RowConv, Mapping]:
    seen, array = RowConv.of(layer), hardware.dataflow
    assert isinstance(array, RowStationaryParameters)
    return seen, mapping(seen, array, 2.0, hardware.bytes_per_cycle("dram") or 1.0)


@pytest.mark.parametrize(
    ("name", "strip", "filters", "images", "active"),
    [
        ("conv1", 7, 96, 1, 154),
        ("conv2", 27, 64, 1, 135),
        ("conv3", 13, 64, 4, 156),
        ("conv4", 13, 64, 4, 156),
        ("conv5", 13, 64, 4, 156),
    ],
)
def test_the_published_mapping_of_alexnet_follows_from_the_array_and_its_memories(
    eyeriss: HardwareModel, name: str, strip: int, filters: int, images: int, active: int
) -> None:
    row = next(row for row in table("eyeriss_v1_dram_compression") if row["layer"] == name)
    _, found = chosen(alexnet_layer(row), eyeriss)
    assert (found.strip, found.filters, found.images, found.active_pes) == (strip, filters, images, active)


@settings(max_examples=40)
@given(
    st.sampled_from([1, 2, 3, 5, 11]),
    st.integers(11, 60),
    st.sampled_from([(3, 16), (64, 24), (130, 256)]),
    st.sampled_from([1, 3, 4]),
)
def test_every_mapping_fits_the_array_and_the_buffer(
    kernel: int, side: int, sizes: tuple[int, int], batch: int
) -> None:
    hardware = load_hardware("eyeriss-v1")
    seen, found = chosen(conv(sizes[0], side, kernel, sizes[1], batch=batch), hardware)
    array = hardware.dataflow
    assert isinstance(array, RowStationaryParameters)
    assert found.active_pes <= hardware.units
    assert found.strip * found.strips >= side > found.strip * (found.strips - 1)
    held = found.filters * found.strip * seen.out[1]
    held += found.pass_channels * found.strip_rows(seen) * seen.width
    assert held * found.images * 2 <= array.buffer_bytes
    assert found.channels_per_pe * kernel < array.input_entries


@pytest.mark.parametrize("layer", [conv(16, 20, 3, 24, batch=2), gemm_layer("fc", 100, 300, 5)])
def test_zeros_save_energy_and_traffic_but_no_compute_time(eyeriss: HardwareModel, layer: Layer) -> None:
    fast = dataclasses.replace(eyeriss.level("dram"), bandwidth_bytes_per_s=1e20)
    endless = dataclasses.replace(eyeriss, memory=(fast, *eyeriss.memory[1:]))
    sparse, dense = run(layer, endless, 0.3), run(layer, endless, 1.0)
    assert sparse.cycles == pytest.approx(dense.cycles, abs=1.0)
    assert sparse.cost.dram_bytes < dense.cost.dram_bytes
    assert sparse.energy_j < dense.energy_j
    assert run(layer, eyeriss, 0.3).cycles < run(layer, eyeriss, 1.0).cycles
    assert sparse.cost.macs_gated == layer.macs - sparse.cost.macs_done > 0


def test_weights_that_are_zero_save_nothing(eyeriss: HardwareModel) -> None:
    layer = conv(8, 12, 3, 16)
    mask = np.random.default_rng(0).random((layer.m, layer.k)) < 0.1
    pruned, full = simulate_layer(layer, eyeriss, mask), simulate_layer(layer, eyeriss)
    assert (pruned.cycles, pruned.energy_j) == (full.cycles, full.energy_j)


def test_time_is_compute_fill_and_serial_activations(eyeriss: HardwareModel) -> None:
    """13 x 13, one tile: filters are loaded behind compute, inputs come before it, outputs leave after it."""
    layer = conv(6, 13, 3, 32)
    result = simulate_layer(layer, eyeriss)
    assert result.kernel == "rows on 156 PEs"
    filters, inputs, outputs = 32 * 54 * 2, 6 * 169 * 2, 32 * 169 * 2
    fill = (32 * 54 + 13 * 6 * 3) / 4
    products = 16 * 3 * 13 * 3
    moved = (filters + inputs + outputs) / 2.4
    assert result.cycles == pytest.approx(fill + max(products, 32 * 169 / 4) + moved, abs=0.1)
    assert result.cost.dram_bytes == filters + inputs + outputs
    assert result.counts[("buffer", "byte")] == filters + inputs + outputs


@settings(max_examples=60)
@given(st.lists(st.booleans(), max_size=200), st.sampled_from([4, 5]))
def test_run_entries_are_those_of_the_storage_format(values: list[bool], run_bits: int) -> None:
    mask = np.array([*values, True])
    stored = make_format(f"rle{run_bits}").footprint(mask[None, :], value_bits=16).stored_values
    assert run_entries(mask, 2**run_bits) == stored
    tail = np.zeros(
        2**run_bits * 3 + 1, dtype=np.bool_
    )  # zeros at the end are coded too: a stream has no shape
    assert run_entries(np.concatenate([mask, tail]), 2**run_bits) == stored + 3


def test_traffic_is_raw_where_coding_would_be_longer(eyeriss: HardwareModel) -> None:
    layer = conv(8, 16, 3, 8)
    traffic = [run(layer, eyeriss, density).cost.dram_bytes for density in (0.0, 0.2, 0.5, 0.74, 0.8, 1.0)]
    assert traffic[-1] == traffic[-2] == (layer.weight_elements + 2 * layer.input_elements) * 2
    assert all(fewer < more for fewer, more in itertools.pairwise(traffic[:-1]))


def test_layers_that_do_not_fit_are_refused(eyeriss: HardwareModel) -> None:
    with pytest.raises(
        UnsupportedError, match="kernels of at most 12 x 11 fit the array, this one is 13 x 13"
    ):
        simulate_layer(conv(1, 20, 13, 1), eyeriss)
    with pytest.raises(UnsupportedError, match="partial sums of one output row and filter exceed"):
        simulate_layer(conv(1, 60_000, 1, 1), eyeriss)


def test_a_product_of_activations_reads_both_from_dram(eyeriss: HardwareModel) -> None:
    layer = Layer(name="qk", kind=LayerKind.MATMUL, m=16, k=8, n=12, input_elements=224, output_elements=192)
    assert simulate_layer(layer, eyeriss).cost.dram_bytes >= 2 * (16 * 8 + 8 * 12 + 16 * 12)
