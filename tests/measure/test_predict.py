"""Predictions: many at once or one by one, and what the choice of a kernel does with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.predict import Row, random_cases, regrets
from simsparse.errors import UsageError
from simsparse.load.catalog import load_hardware
from simsparse.measure.calibrate_cases import (
    COLD_FROM_BYTES,
    PATTERNS,
    ProductCase,
    designed_cases,
    make_mask,
)
from simsparse.measure.calibrate_timing import Sample
from simsparse.measure.predict import (
    Candidate,
    Product,
    WeightOperand,
    competing_kernels,
    fastest,
    predict,
    predict_kernels,
    read_seconds,
)
from simsparse.measure.timing import Timing

EPYC = load_hardware("epyc-9654")


def operand(m: int, k: int, density: float = 0.3) -> WeightOperand:
    return WeightOperand(m, k, np.random.default_rng(0).random((m, k)) < density)


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 90), st.sampled_from([1, 3, 40])), min_size=1, max_size=4
    ),
    threads=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_together_is_what_one_by_one_gives(shapes: list[tuple[int, int, int]], threads: int) -> None:
    alone, asked = [], []
    for m, k, n in shapes:
        product, weights = Product(m=m, k=k, n=n, threads=threads), operand(m, k)
        kernels = competing_kernels(n, nm=True, blocks=True)
        alone += [*predict_kernels(EPYC, product, weights, kernels).values()]
        asked += [Candidate(product=product, weights=weights, kernel=kernel) for kernel in kernels]
    assert predict(EPYC, asked) == pytest.approx(alone)


def test_a_residual_costs_what_its_bytes_take() -> None:
    sizes = np.array([0, 1e4, 1e5, 1e6, 1e7, 1e9])
    times = np.array([read_seconds(EPYC, size) for size in sizes])
    assert times[0] == 0
    assert np.all(np.diff(times) > 0)
    dram = EPYC.memory[0].bandwidth_bytes_per_s
    assert dram is not None
    assert times[-1] >= 1e9 / dram * 0.99
    assert read_seconds(load_hardware("eie"), 1e6) == 0


@given(evicted=st.booleans(), n=st.sampled_from([1, 3, 40]), threads=st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_what_others_evicted_costs_at_most_the_l2(evicted: bool, n: int, threads: int) -> None:
    memory = dataclasses.replace(EPYC.dataflow.memory, refill_cycles_per_byte=0.25)  # type: ignore[union-attr]
    machine = dataclasses.replace(EPYC, dataflow=dataclasses.replace(EPYC.dataflow, memory=memory))  # type: ignore[type-var]
    kernels = competing_kernels(n)
    product = Product(m=96, k=90, n=n, threads=threads)
    warm = predict_kernels(machine, product, operand(96, 90), kernels)
    gone = predict_kernels(machine, dataclasses.replace(product, evicted=evicted), operand(96, 90), kernels)
    for kernel in kernels:
        longer = (gone[kernel] - warm[kernel]) * machine.clock_hz
        assert (longer > 0) == evicted
        assert longer <= 0.25 * memory.l2_bytes


def test_small_dense_products_stay_on_one_thread() -> None:
    for m, k, n in ((64, 64, 64), (96, 96, 1)):
        times = [
            predict_kernels(EPYC, Product(m=m, k=k, n=n, threads=threads), operand(m, k), ("dense",))["dense"]
            for threads in (1, 2)
        ]
        assert times[0] == pytest.approx(times[1], rel=0.02)
    large = [
        predict_kernels(EPYC, Product(m=1024, k=1024, n=64, threads=threads), operand(64, 64), ("dense",))
        for threads in (1, 2)
    ]
    assert large[1]["dense"] < 0.7 * large[0]["dense"]


def test_sparser_weights_and_warm_caches_take_less() -> None:
    product = Product(m=1024, k=1024, n=128)
    times = [
        predict_kernels(EPYC, product, operand(1024, 1024, d), ("csr", "grouped")) for d in (0.05, 0.2, 0.6)
    ]
    for kernel in ("csr", "grouped"):
        assert [time[kernel] for time in times] == sorted(time[kernel] for time in times)
    cold = dataclasses.replace(product, cold_weights=True, cold_activations=True)
    assert predict_kernels(EPYC, cold, operand(1024, 1024), ("csr",))["csr"] > times[1]["csr"]


def test_dense_wins_dense_weights_and_loses_sparse_ones() -> None:
    product, machine = Product(m=1024, k=1024, n=128), load_hardware("core-i7-5930k")
    kernels = ("csr", "dense")  # groups of four rows keep up with BLAS on dense weights
    assert fastest(predict_kernels(machine, product, operand(1024, 1024, 0.95), kernels)) == "dense"
    assert fastest(predict_kernels(machine, product, operand(1024, 1024, 0.05), kernels)) == "csr"


def test_more_threads_than_cores_are_refused() -> None:
    machine = dataclasses.replace(EPYC, units=2)
    with pytest.raises(UsageError, match="at most 2 threads, got 3"):
        predict_kernels(machine, Product(m=8, k=8, n=8, threads=3), operand(8, 8), ("csr",))


@pytest.mark.parametrize("seed", [0, 7])
def test_random_cases_are_seeded_held_out_and_of_all_kinds(seed: int) -> None:
    cases = list(random_cases(120, seed))
    assert cases == list(random_cases(120, seed))
    assert not set(cases) & set(designed_cases())
    assert {case.pattern for case in cases} == set(PATTERNS)
    assert {case.n for case in cases} >= {1, 16, 64}
    assert all(case.m % 16 == case.k % 16 == 0 for case in cases)
    assert min(case.dense_bytes for case in cases) < 1e5
    assert max(case.dense_bytes for case in cases) > 2e7


def test_masks_keep_the_wanted_share() -> None:
    for pattern in PATTERNS:
        case = ProductCase(m=512, k=512, n=1, pattern=pattern, density=0.5 if pattern == "2:4" else 0.2)
        assert make_mask(case, 0).mean() == pytest.approx(case.density, abs=0.03)


def row(case: ProductCase, kernel: str, measured: float, predicted: float, cold: bool = False) -> Row:
    timing = Timing(time_s=measured, least_s=measured, windows=3, kept=3, gated=True)
    return Row(
        sample=Sample(case=case, kernel=kernel, threads=1, cold=cold, timing=timing), predicted_s=predicted
    )


def test_regret_is_what_the_choice_costs_and_ties_cost_nothing() -> None:
    small = ProductCase(m=64, k=64, n=64, pattern="random", density=0.5)
    large = ProductCase(m=1024, k=1024, n=64, pattern="random", density=0.5)
    assert small.dense_bytes < COLD_FROM_BYTES < large.dense_bytes
    rows = [
        row(small, "csr", 1.04, 1.0), row(small, "dense", 1.0, 2.0),
        row(large, "csr", 1.0, 1.0), row(large, "dense", 5.0, 2.0),
        row(large, "csr", 3.0, 1.0, cold=True), row(large, "dense", 2.0, 2.0, cold=True),
    ]  # fmt: skip
    assert regrets(rows, cold_where_large=True) == [1.0, 1.5]
    assert regrets(rows, cold_where_large=False) == [1.0, 1.0]
    assert regrets(rows, cold_where_large=True, dense=False) == [1.0, 1.0]
