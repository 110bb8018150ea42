"""The single-MAC designs against a walk over every pair, and the ports by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import UsageError
from simsparse.hardware import FormatPortParameters
from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.format_port import SIDE, even_fibers, parity


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.integers(0, 99),
)
def test_ports_and_pairs_are_counted_exactly(m: int, k: int, n: int, density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights, inputs = generator.random((m, k)) < density, generator.random((k, n)) < 0.5
    layer = gemm_layer("g", m, k, n)
    pairs = int((weights.astype(int) @ inputs.astype(int)).sum())
    stored = int(weights.sum()) * n + int(inputs.sum())
    lists = simulate_layer(layer, "coordinate-skipping", weights, inputs, format="coo")
    maps = simulate_layer(layer, "bitmask-gating", weights, inputs, format="bitmask")
    entry = 1 + (math.ceil(math.log2(m)) + math.ceil(math.log2(k))) / 8 if weights.any() else 1
    slack = 2048 / 1024
    assert lists.bound_cycles == pytest.approx(
        max(stored * entry / 2, 2 * pairs * entry / 2, pairs + m * n), abs=slack
    )
    assert maps.bound_cycles == pytest.approx(max(m * k * n + m * n, stored / 2), abs=slack)
    assert lists.cost.macs_done == maps.cost.macs_done == pairs
    assert lists.cost.macs_skipped == maps.cost.macs_gated == m * k * n - pairs
    for result in (lists, maps):
        assert result.counts[("buffer", "read")] == 2 * pairs
        assert result.counts[("buffer", "write")] == stored


def test_lists_win_at_low_density_and_lose_at_high() -> None:
    layer = gemm_layer("g", 128, 128, 128)
    times = {
        density: [
            simulate_layer(layer, name, mask, np.ascontiguousarray(mask.T), format=format_).cycles
            for name, format_ in (("bitmask-gating", "bitmask"), ("coordinate-skipping", "coo"))
        ]
        for density, mask in ((d, even_fibers(round(d * SIDE * SIDE))) for d in (0.05, 0.9))
    }
    assert times[0.05][0] > times[0.05][1]
    assert times[0.9][0] < times[0.9][1]


def test_dense_storage_takes_every_pair_and_no_positions() -> None:
    for name in ("bitmask-gating", "coordinate-skipping"):
        result = simulate_layer("gemm:16,16,16", name)
        assert result.bound_cycles == pytest.approx(16**3 + 16**2, abs=2)
        assert result.counts[("metadata_buffer", "read")] == 0
        assert result.cost.macs_done == 16**3


def test_fibers_are_even_in_both_directions() -> None:
    for nonzeros in (0, 192, 655, 3264, 13120, SIDE * SIDE):
        mask = even_fibers(nonzeros)
        assert mask.sum() == nonzeros
        for axis in (0, 1):
            counts = mask.sum(axis=axis)
            assert counts.max() - counts.min() <= 1


def test_parity_prices_stay_out_of_the_machine() -> None:
    machine = load_hardware("bitmask-gating")
    assert parity(machine).energy_pj["register"]["access"] == 0.48746
    assert machine.energy_pj["register"]["access"] == 0.009
    assert machine.energy_pj["mac"]["gated"] > 0


def test_impossible_ports_are_refused() -> None:
    with pytest.raises(UsageError, match="port_bytes_per_cycle > 0"):
        FormatPortParameters(
            zeros="gate",
            port_bytes_per_cycle=0.0,
            metadata_on_ports=False,
            backing_word_bytes=8,
            metadata_word_bits=28,
        )
