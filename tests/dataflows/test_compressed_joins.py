"""SparTen, Cambricon-X and Eyeriss v2 against their work counted one chunk, window or column at a time."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.dataflows.inner_join import dealt, paired, words
from simsparse.errors import UnsupportedError, UsageError
from simsparse.hardware import (
    HardwareModel,
    IndexedSynapseParameters,
    InnerJoinParameters,
    MeshCscParameters,
)
from simsparse.ir import Layer, LayerKind, gemm_layer
from simsparse.kernels.count_join import join_cycles, step_entries
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer

SEEDS = st.integers(0, 10**6)
DENSITY = st.sampled_from([0.0, 0.1, 0.6, 1.0])


def with_flow(name: str, units: int, **changes: object) -> HardwareModel:
    machine = load_hardware(name)
    flow = dataclasses.replace(machine.dataflow, **changes)  # type: ignore[type-var, arg-type]
    return dataclasses.replace(machine, units=units, dataflow=flow)


def masks(m: int, k: int, n: int, density: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random((m, k)) < density, generator.random((k, n)) < 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 300), st.integers(1, 9), DENSITY, SEEDS)
def test_a_cluster_waits_for_its_slowest_multiplier_in_every_chunk(
    m: int, k: int, n: int, density: float, seed: int
) -> None:
    machine = with_flow("sparten-unbalanced", 4, cluster=4)
    weights, inputs = masks(m, k, n, density, seed)
    result = simulate_layer(gemm_layer("g", m, k, n), machine, weights, inputs)
    cycles = 0
    for first in range(0, m, 4):
        for column in range(n):
            for chunk in range(0, k, 128):
                met = weights[first : first + 4, chunk : chunk + 128] & inputs[chunk : chunk + 128, column]
                cycles += max(1, met.sum(axis=1).max())
    assert result.cycles == cycles
    assert result.cost.macs_done == int((weights.astype(int) @ inputs.astype(int)).sum())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 128), min_size=1, max_size=16), st.integers(8, 12))
def test_balancing_holds_at_most_two_filters_and_is_no_worse_than_their_order(
    weight: list[int], cluster: int
) -> None:
    load, unit = np.array(weight), dealt(np.array(weight), cluster)
    held = np.bincount(unit, minlength=cluster)
    assert held.max() <= 2
    assert len(held) == cluster
    assert len(weight) > cluster or held.max() == 1
    assert sorted(paired(load).tolist()) == list(range(len(weight)))
    in_order = np.bincount(np.arange(len(weight)) // 2, weights=load)
    assert np.bincount(unit, weights=load).max() <= in_order.max()


def test_balancing_pays_where_filters_differ() -> None:
    generator = np.random.default_rng(3)
    weights = generator.random((256, 512)) < generator.choice([0.05, 0.9], (256, 1))
    times = {
        name: simulate_layer(
            gemm_layer("g", 256, 512, 64), name, weights, generator.random((512, 64)) < 2
        ).cycles
        for name in ("sparten-unbalanced", "sparten-gb-s", "sparten")
    }
    assert times["sparten"] <= times["sparten-gb-s"] < 0.8 * times["sparten-unbalanced"]


def test_words_hold_every_bit() -> None:
    mask = np.random.default_rng(0).random((3, 200)) < 0.5
    packed = words(mask, 128)
    assert packed.shape == (3, 2, 2)
    assert np.array_equal(np.unpackbits(packed.view(np.uint8), axis=2).sum(axis=(1, 2)), mask.sum(axis=1))
    unit = np.zeros((2, 3), dtype=np.int64)
    own = join_cycles(packed, packed[:1], unit, 3, 1, 0)
    assert own.tolist() == [[int((mask & mask[0]).sum())]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 4), DENSITY, SEEDS)
def test_one_pe_of_cambricon_x_takes_its_entries_by_sixteens(
    m: int, k: int, n: int, density: float, seed: int
) -> None:
    machine = with_flow("cambricon-x", 1, window=32, step_bits=3)
    weights, inputs = masks(m, k, n, density, seed)
    result = simulate_layer(gemm_layer("g", m, k, n), machine, weights, inputs)
    entries = entries_by_hand(weights, 32, 8)
    busy = np.maximum(1, -(-entries // 16)).sum() * n
    assert result.cycles == pytest.approx(busy, abs=entries.size * n)  # a broadcast takes a cycle
    assert result.cost.macs_done == weights.sum() * n
    assert result.counts[("mac", "padding")] == (entries.sum() - weights.sum()) * n
    assert np.array_equal(step_entries(weights, 32, 8), entries)


def entries_by_hand(mask: np.ndarray, window: int, longest: int) -> np.ndarray:
    out = np.zeros((len(mask), math.ceil(mask.shape[1] / window)), dtype=int)
    for row, kept in enumerate(mask):
        at = -1
        for position in np.flatnonzero(kept):
            while position - at > longest:
                at += longest
                out[row, at // window] += 1
            at = position
            out[row, at // window] += 1
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), DENSITY, SEEDS)
def test_one_pe_of_the_mesh_is_the_scalar_pe(m: int, k: int, n: int, density: float, seed: int) -> None:
    machine = with_flow("eyeriss-v2", 1, macs_per_pair=1)
    weights, inputs = masks(m, k, n, density, seed)
    layer = gemm_layer("g", m, k, n)
    assert (
        simulate_layer(layer, machine, weights, inputs).cycles
        == simulate_layer(layer, "eyeriss-v2-pe", weights, inputs).cycles
    )


def test_a_dense_layer_fills_the_mesh() -> None:
    result = simulate_layer(gemm_layer("g", 192, 192, 192), "eyeriss-v2")
    assert result.utilisation > 0.9


@pytest.mark.parametrize("name", ["sparten", "cambricon-x", "eyeriss-v2"])
def test_products_of_activations_are_refused(name: str) -> None:
    layer = Layer(name="a", kind=LayerKind.MATMUL, m=4, k=4, n=4, input_elements=32, output_elements=16)
    with pytest.raises(UnsupportedError, match="both operands are activations"):
        simulate_layer(layer, name)


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="whole 64s"):
        InnerJoinParameters(cluster=4, chunk=100)
    with pytest.raises(UsageError, match="step_bits <= 16"):
        IndexedSynapseParameters(multipliers=1, window=1, step_bits=17)
    with pytest.raises(UsageError, match="sizes >= 1"):
        MeshCscParameters(psum_entries=0, weight_entries=1, input_entries=1)
