"""Dense products on several threads: all in one pool, ours."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from simsparse.formats import encode
from simsparse.kernels.finite import all_finite
from simsparse.packed import prepare
from simsparse.packed.dense import ONE_THREAD_MACS, ONE_THREAD_VECTOR_MACS, Dense, blas_threads
from simsparse.packed.preparation import threads_here
from tests.packed.product_cases import bound, inputs, masks, product, weights

SHAPES = [(67, 300, 130), (530, 871, 1), (48, 96, 17), (4, 90_000, 1)]


def packed_dense(w, mask, n, **options):
    packed = prepare(encode(w, "csr", mask), n, kernel="dense", threads=2, **options)
    assert packed.kernel == "dense"
    return packed


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
@pytest.mark.parametrize("kind", ["full", "half", "4x1"])
def test_two_threads_multiply_what_one_does(m, k, n, kind):
    mask = masks(m, k)[kind]
    w, x = weights(mask), inputs(k, n)
    for columns in {n, 1, 5}:
        found = packed_dense(w, mask, n) @ x[:, :columns]
        assert np.all(np.abs(found - product(w, mask, x)[:, :columns]) <= bound(w, x)[:, :columns])


@pytest.mark.parametrize("n", [1, 17])
def test_bias_residual_and_activation(n):
    m, k = 901, 700
    assert m * k > ONE_THREAD_VECTOR_MACS
    mask = masks(m, k)["full"]
    w, x, beside = weights(mask), inputs(k, n), inputs(m, n, 3)
    bias = inputs(m, 1, 4)[:, 0]
    for activation in (None, "relu", "relu6", "gelu"):
        one = prepare(encode(w, "csr", mask), n, kernel="dense", bias=bias, activation=activation)
        two = packed_dense(w, mask, n, bias=bias, activation=activation)
        off = 8 * bound(w, x)
        assert np.all(np.abs(two.multiply(x, residual=beside) - one.multiply(x, residual=beside)) <= off)


@pytest.mark.parametrize("n", [1, 64])
def test_nan_and_inf_reach_exactly_the_rows_that_store_their_column(n):
    m, k = 700, 701
    mask = masks(m, k)["half"]
    w, x = weights(mask), inputs(k, n)
    x[7], x[100, 0], x[-1, -1] = np.nan, np.inf, -np.inf
    found, expected = packed_dense(w, mask, n) @ x, product(w, mask, x)
    for special in (np.isnan, np.isposinf, np.isneginf):
        assert np.array_equal(special(found), special(expected))


@given(
    numbers=hnp.arrays(np.float32, st.integers(0, 70), elements=st.floats(width=32)),
    place=st.integers(0, 69),
    special=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf, np.finfo(np.float32).max, -0.0, 1e-45]),
)
def test_bits_tell_what_is_finite(numbers, place, special):
    if place < numbers.size:
        numbers[place] = special
    assert all_finite(numbers.view(np.uint32)) == np.isfinite(numbers).all()


@pytest.mark.parametrize("order", ["rows", "columns", "every second"])
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_inputs_in_any_order_are_asked(order, special):
    m, k, n = 40, 50, 12
    mask = masks(m, k)["half"]
    w, x = weights(mask), inputs(k, 2 * n)
    laid_out = {"rows": x[:, :n].copy(), "columns": np.asfortranarray(x[:, :n]), "every second": x[:, ::2]}[
        order
    ]
    packed = prepare(encode(w, "csr", mask), n, kernel="dense")
    for place in (None, (0, 0), (31, 7), (k - 1, n - 1)):
        if place:
            laid_out[place] = special
        found, expected = packed.multiply(laid_out), product(w, mask, laid_out)
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        assert np.array_equal(np.isinf(found), np.isinf(expected))


@pytest.mark.skipif(threads_here(2)[0] < 2, reason="one processor: BLAS multiplies on its own thread")
def test_no_thread_of_blas_is_woken_beside_ours(monkeypatch):
    monkeypatch.setattr(np, "matmul", None)
    m, k, n = 64, 128, 64
    assert m * k * n > ONE_THREAD_MACS
    mask = masks(m, k)["full"]
    packed = packed_dense(weights(mask), mask, n)
    assert isinstance(packed.ready, Dense)
    packed.multiply(inputs(k, n))
    with threadpool_limits(blas_threads(2), user_api="blas"):
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_without_vectors_of_our_own_blas_has_the_threads(monkeypatch):
    monkeypatch.setenv("SIMSPARSE_SIMD", "plain")
    assert blas_threads(2) == 2
    mask = masks(64, 128)["full"]
    w, x = weights(mask), inputs(128, 64)
    packed = packed_dense(w, mask, 64)
    assert packed.ready.groups is None
    assert np.all(np.abs(packed @ x - product(w, mask, x)) <= bound(w, x))
