"""The accelerator dataflows against arithmetic done by hand or by brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import UnsupportedError
from simsparse.formats import make_format
from simsparse.hardware import BroadcastCscParameters, HardwareModel
from simsparse.ir import Layer, LayerKind, gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer


@pytest.fixture(scope="module")
def eie() -> HardwareModel:
    return load_hardware("eie")


def entries_by_hand(column: np.ndarray, pes: int, longest: int) -> np.ndarray:
    """Entries of one column in each PE, walked one row at a time."""
    out = np.zeros(pes, dtype=int)
    for pe in range(pes):
        zeros = 0
        for kept in column[pe::pes]:
            if not kept:
                zeros += 1
                continue
            while zeros >= longest:
                out[pe] += 1  # a padding entry stands for `longest` zeros
                zeros -= longest
            out[pe] += 1
            zeros = 0
    return out


@settings(max_examples=30)
@given(st.integers(1, 4000), st.sampled_from([0.01, 0.1, 0.6]), st.integers(0, 99))
def test_eie_works_off_every_entry_of_nonzero_columns(m: int, density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.random((m, 5)) < density
    inputs = np.array([[True], [False], [True], [True], [False]])
    result = simulate_layer(gemm_layer("fc", m, 5, 1), "eie", weights, inputs)
    expected = sum(entries_by_hand(weights[:, j], 64, 16).sum() for j in range(5) if inputs[j, 0])
    assert result.counts[("weight_memory", "entry")] == expected
    assert result.counts[("pointer_memory", "read")] == 64 * 3 * math.ceil(m / 4096)
    assert result.counts[("mac", "padding")] == expected - int(weights[:, inputs[:, 0]].sum())


@settings(max_examples=20)
@given(st.integers(1, 9000), st.sampled_from([0.01, 0.2]), st.integers(0, 99))
def test_eie_works_off_as_many_entries_as_its_format_stores(m: int, density: float, seed: int) -> None:
    weights = np.random.default_rng(seed).random((m, 3)) < density
    stored = make_format("csc:banks=64:run_bits=4").footprint(weights, value_bits=4).stored_values
    result = simulate_layer(gemm_layer("fc", m, 3, 1), "eie", weights)
    assert result.counts[("weight_memory", "entry")] == stored


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(0, 99))
def test_eie_with_dense_inputs_repeats_one_position_exactly(n: int, seed: int) -> None:
    weights = np.random.default_rng(seed).random((200, 7)) < 0.2
    layer = gemm_layer("fc", 200, 7, n)
    explicit = simulate_layer(layer, "eie", weights, np.ones((7, n), dtype=np.bool_))
    repeated = simulate_layer(layer, "eie", weights)
    assert repeated == explicit


def test_eie_refuses_what_does_not_fit_its_weight_memory(eie: HardwareModel) -> None:
    assert isinstance(eie.dataflow, BroadcastCscParameters)
    small = dataclasses.replace(eie, dataflow=dataclasses.replace(eie.dataflow, entries_per_pe=10))
    with pytest.raises(UnsupportedError, match="the fullest PE needs 20 weight entries and holds 10"):
        simulate_layer(gemm_layer("fc", 64, 20, 1), small, np.ones((64, 20), dtype=np.bool_))


def test_a_deeper_queue_never_slows_eie_down(eie: HardwareModel) -> None:
    assert isinstance(eie.dataflow, BroadcastCscParameters)
    weights = np.random.default_rng(0).random((640, 300)) < 0.1
    times = []
    for depth in (1, 2, 4, 8, 64):
        machine = dataclasses.replace(eie, dataflow=dataclasses.replace(eie.dataflow, queue_depth=depth))
        times.append(simulate_layer(gemm_layer("fc", 640, 300, 1), machine, weights).cycles)
    assert times == sorted(times, reverse=True)
    assert times[0] > times[-1]


def test_systolic_tiles_stream_one_column_per_cycle_once_weights_are_in() -> None:
    # 2 x 2 tiles of 256 x 256, n = 2000 fits the accumulators; weights of one tile take 65536 B / 48.57
    # B/cycle = 1350
    # cycles to fetch, less than the 2000 cycles of the tile before, so after the first fetch and shift-in
    # only streaming
    result = simulate_layer(gemm_layer("g", 512, 512, 2000), "tpu-like", format="dense")
    fetch = 65536 / (3.4e10 / 7.0e8)
    assert result.cycles == pytest.approx(fetch + 256 + 4 * 2000 + 512, abs=0.01)
    assert result.bound_cycles == 4 * 2000


def test_gating_saves_energy_and_no_time() -> None:
    mask = np.random.default_rng(0).random((256, 256)) < 0.1
    plain = simulate_layer("gemm:256,256,512", "tpu-like", mask, format="dense")
    gating = simulate_layer("gemm:256,256,512", "tpu-like-gating", mask, format="dense")
    assert gating.cycles == plain.cycles
    assert gating.energy_j < plain.energy_j
    assert (
        gating.cost.macs_gated
        == plain.cost.macs_done - gating.cost.macs_done
        == (256 * 256 - mask.sum()) * 512
    )


def test_compressed_weights_help_a_systolic_array_only_as_far_as_dram_limits() -> None:
    mask = np.random.default_rng(0).random((2048, 2048)) < 0.1
    few, many = "gemm:2048,2048,16", "gemm:2048,2048,2048"
    assert simulate_layer(few, "tpu-like", mask).cycles < 0.5 * simulate_layer(few, "tpu-like").cycles
    assert simulate_layer(many, "tpu-like", mask).cycles > 0.9 * simulate_layer(many, "tpu-like").cycles


def test_stc_halves_compute_for_2_4_and_runs_other_masks_dense() -> None:
    layer = "gemm:512,2048,512"
    structured = simulate_layer(layer, "stc", np.tile([True, False, False, True], (512, 512)))
    ragged = simulate_layer(layer, "stc", np.tile([True, True, True, False], (512, 512)))
    dense = simulate_layer(layer, "stc")
    assert structured.bound_cycles == dense.bound_cycles / 2
    assert ragged.cycles == dense.cycles
    assert ragged.format == "dense"


def test_activation_products_have_no_stored_weights_for_compressed_machines() -> None:
    scores = Layer(
        name="scores", kind=LayerKind.MATMUL, m=8, k=4, n=8, groups=2, input_elements=96, output_elements=64
    )
    for name in ("eie", "eyeriss-v2-pe"):
        with pytest.raises(UnsupportedError, match="both operands are activations"):
            simulate_layer(scores, name)
    assert simulate_layer(scores, "tpu-like").cost.macs_done == 256


def test_machines_without_a_vector_unit_name_the_reason_and_epilogues_cost_no_time() -> None:
    norm = Layer(
        name="norm", kind=LayerKind.NORMALIZATION, input_elements=64, output_elements=64, operations=128
    )
    relu = Layer(name="relu", kind=LayerKind.ACTIVATION, input_elements=64, output_elements=64, operations=64)
    with pytest.raises(UnsupportedError, match="no unit for layers without a matrix product"):
        simulate_layer(norm, "eie")
    assert simulate_layer(relu, "eie").cycles == 0.0
    assert simulate_layer(norm, "tpu-like").cycles > 0.0
