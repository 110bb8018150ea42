"""Law 3: every kernel, format, shape and SIMD path gives the product of the kept weights."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from simsparse.errors import FormatError, ShapeError
from simsparse.formats import encode, make_format
from simsparse.packed import prepare
from tests.packed.product_cases import COLUMNS, SHAPES, bound, formats_for, inputs, masks, product, weights

KERNELS = ("csr", "pairs", "grouped")
OTHER_PATHS = (
    ("csr", "plain", 3),
    ("csr", "plain", 15),
    ("csr", "avx512", 3),
    ("csr", "avx512", 17),
    ("csr", "avx512", 64),
    ("csr", "avx2", 48),
    ("pairs", "plain", 3),
    ("pairs", "plain", 24),
    ("pairs", "avx512", 3),
    ("pairs", "avx512", 17),
    ("pairs", "avx2", 48),
    ("grouped", "plain", 3),
    ("grouped", "avx512", 3),
)


@pytest.mark.parametrize("kernel", [*KERNELS, "dense", "portable", None])
@pytest.mark.parametrize("n", COLUMNS)
def test_all_patterns_and_shapes(kernel, n):
    for shape in SHAPES:
        x = inputs(shape[1], n)
        for kind, mask in masks(*shape).items():
            w = weights(mask)
            y = prepare(encode(w, "csr", mask), n, kernel=kernel) @ x
            assert y.dtype == np.float32
            assert np.all(np.abs(y - product(w, mask, x)) <= bound(w, x)), (shape, kind)


@pytest.mark.parametrize(("kernel", "isa", "n"), OTHER_PATHS)
def test_other_simd_paths(monkeypatch, kernel, isa, n):
    monkeypatch.setenv("SIMSPARSE_SIMD", isa)
    x = inputs(300, n)
    for mask in masks(67, 300).values():
        w = weights(mask)
        y = prepare(encode(w, "csr", mask), n, kernel=kernel) @ x
        assert np.all(np.abs(y - product(w, mask, x)) <= bound(w, x))


@pytest.mark.parametrize("kind", ["empty", "full", "thin", "2:4", "4x1"])
def test_every_format(kind):
    mask = masks(67, 100)[kind]
    w, x = weights(mask), inputs(100, 17)
    names = formats_for(mask)
    assert len(names) >= 12
    for name in names:
        packed = prepare(make_format(name).encode(w, mask), 17)
        # a format keeps no all-zero bits, but the one −0 of ``weights`` is a weight like any other
        assert np.all(np.abs(packed @ x - product(w, mask, x)) <= bound(w, x)), name
        assert packed.packing_s > 0


@pytest.mark.parametrize("kernel", [*KERNELS, "dense", "gemv-csr", None])
def test_nan_and_inf_reach_exactly_the_rows_that_store_their_column(kernel):
    for n in (1, 3, 17):
        for mask in masks(67, 300).values():
            w, x = weights(mask), inputs(300, n)
            x[7], x[100, 0], x[299, -1] = np.nan, np.inf, -np.inf
            y = prepare(encode(w, "csr", mask), n, kernel=kernel) @ x
            expected = product(w, mask, x)
            assert np.array_equal(np.isnan(y), np.isnan(expected))
            assert np.array_equal(y == np.inf, expected == np.inf)
            assert np.array_equal(y == -np.inf, expected == -np.inf)


@pytest.mark.parametrize(
    ("kernel", "n"), [("csr", 130), ("csr", 3), ("pairs", 130), ("pairs", 3), ("grouped", 17)]
)
def test_threads_change_no_bit(kernel, n):
    mask = masks(67, 300)["skewed"]
    w, x = weights(mask), inputs(300, n)
    one = prepare(encode(w, "csr", mask), n, kernel=kernel) @ x
    two = prepare(encode(w, "csr", mask), n, kernel=kernel, threads=2)
    assert np.array_equal(two @ x, one)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_packing_for_n_columns_multiplies_any_number(kernel):
    mask = masks(67, 300)["half"]
    w = weights(mask)
    packed = prepare(encode(w, "csr", mask), 130, kernel=kernel)
    for n in (0, 1, 16, 17):
        x = inputs(300, n)
        assert np.all(np.abs(packed @ x - product(w, mask, x)) <= bound(w, x))


@pytest.mark.parametrize("kernel", [*KERNELS, "dense", "gemv-csr"])
def test_layouts_of_x_and_out(kernel):
    mask = masks(67, 300)["half"]
    w, x = weights(mask), inputs(300, 17)
    packed = prepare(encode(w, "csr", mask), 17, kernel=kernel)
    expected = packed @ x
    wide = np.zeros((300, 40), np.float32)
    wide[:, 5:22] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for same in (
        np.asfortranarray(x),
        wide[:, 5:22],
        x[::-1].copy()[::-1],
        frozen,
        np.repeat(x, 2, 1)[:, ::2],
    ):
        assert np.array_equal(packed @ same, expected)
    framed = np.full((69, 40), 7, np.float32)
    for out in (
        framed[1:-1, 5:22],
        np.full((67, 17), 7, np.float32, order="F"),
        np.empty((67, 34), np.float32)[:, ::2],
    ):
        assert packed.multiply(x, out=out) is out
        assert np.array_equal(out, expected)
    framed[1:-1, 5:22] = 7
    assert np.all(framed == 7)


def test_out_may_be_x_itself():
    mask = masks(67, 67)["half"]
    w, x = weights(mask), inputs(67, 17)
    packed = prepare(encode(w, "csr", mask), 17, kernel="csr")
    expected = packed @ x
    assert np.array_equal(packed.multiply(x, out=x), expected)


@pytest.mark.parametrize("kernel", [*KERNELS, "dense", "gemv-csr", "portable"])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_epilogue(kernel, activation):
    from math import erf

    for kind in ("half", "empty", "thin"):
        mask = masks(67, 300)[kind]
        w, x, beside = weights(mask), inputs(300, 17), inputs(67, 17, 3)
        bias = inputs(67, 1, 4)[:, 0]
        packed = prepare(encode(w, "csr", mask), 17, kernel=kernel, bias=bias, activation=activation)
        sums = product(w, mask, x) + bias[:, None] + beside
        act = {
            None: lambda v: v,
            "relu": lambda v: np.maximum(v, 0),
            "gelu": lambda v: v * 0.5 * (1 + np.vectorize(erf)(v / np.sqrt(2))),
        }[activation]
        off = 1.2 * bound(w, x) + 1e-6 * (np.abs(sums) + 1)
        assert np.all(np.abs(packed.multiply(x, residual=beside) - act(sums)) <= off)
        together = beside.copy()
        packed.multiply(x, out=together, residual=together)
        assert np.all(np.abs(together - act(sums)) <= off)
        alone = act(product(w, mask, x) + bias[:, None])
        assert np.all(np.abs(packed @ x - alone) <= off)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("k", "threads"), [(40, 1), (3000, 1), (3000, 2)])
def test_over_the_residual_is_the_same_as_beside_it(kernel, k, threads):
    mask = np.random.default_rng(3).random((67, k)) < 0.1
    w, x, beside = weights(mask), inputs(k, 130), inputs(67, 130, 3)
    packed = prepare(encode(w, "csr", mask), 130, kernel=kernel, threads=threads, activation="relu")
    expected = packed.multiply(x, residual=beside)
    over = beside.copy()
    packed.bind(x, over, over)()
    assert np.array_equal(over, expected)
    room = np.zeros((68, 130), np.float32)
    room[:-1] = beside
    packed.multiply(x, out=room[1:], residual=room[:-1])
    assert np.array_equal(room[1:], expected)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "plain"])
@pytest.mark.parametrize("shape", [(67, 300), (3, 16), (8, 5), (1, 1), (9, 33)])
def test_one_column_of_all_weights(monkeypatch, isa, shape):
    monkeypatch.setenv("SIMSPARSE_SIMD", isa)
    m, k = shape
    w, x, beside = inputs(m, k), inputs(k, 1, 2), inputs(m, 1, 3)
    bias, off = inputs(m, 1, 4)[:, 0], 1e-6 * (np.abs(w) @ np.abs(x) + 10)
    sums = 3 * (w.astype(np.float64) @ x + bias[:, None] + beside)
    for activation, done in (
        (None, sums),
        ("relu", np.maximum(sums, 0)),
        ("relu6", np.clip(sums, 0, 6)),
        ("gelu", sums * 0.5 * (1 + np.vectorize(math.erf)(sums / np.sqrt(2)))),
    ):
        packed = prepare(encode(3 * w, "dense"), 1, bias=3 * bias, activation=activation)
        assert packed.kernel == "dense"
        assert np.all(np.abs(packed.multiply(x, residual=3 * beside) - done) <= 5 * off)
        out = np.full((m, 2), np.nan, np.float32)
        packed.bind(x, out[:, :1], 3 * beside)()
        assert np.all(np.abs(out[:, :1] - done) <= 5 * off)
        assert np.isnan(out[:, 1]).all()
    x[0] = np.nan
    assert np.isnan(prepare(encode(w, "dense"), 1, activation="relu") @ x).all()


def test_relu_and_gelu_keep_nan():
    w = np.ones((4, 1), np.float32)
    x = np.array([[np.nan, np.inf, 1.0]], np.float32)
    for activation in ("relu", "gelu"):
        y = prepare(encode(w, "csr"), 3, kernel="csr", activation=activation) @ x
        assert np.isnan(y[:, 0]).all()
        assert (y[:, 1] == np.inf).all()


@pytest.mark.parametrize("kernel", [*KERNELS, "dense", "gemv-csr", "gemv-bitmask", "portable"])
def test_a_bound_product_is_multiply_with_what_its_arrays_hold_then(kernel):
    mask = masks(67, 300)["half"]
    w = weights(mask)
    packed = prepare(encode(w, "csr", mask), 17, kernel=kernel, bias=inputs(67, 1)[:, 0], activation="relu")
    wide = np.zeros((300, 34), np.float32)
    for x in (np.zeros((300, 17), np.float32), wide[:, 3:20], wide[:, ::2], np.zeros(300, np.float32)):
        shape = (67, *x.shape[1:])
        out, beside = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        calls = packed.bind(x, out), packed.bind(x, out, beside)
        for seed in (5, 6):
            x[...] = inputs(300, 17, seed)[:, : x[0].size].reshape(x.shape)
            beside[...] = inputs(67, 17, seed)[:, : x[0].size].reshape(shape)
            for call, residual in zip(calls, (None, beside), strict=True):
                expected = packed.multiply(x, residual=residual)
                call()
                assert np.array_equal(out, expected)


@pytest.mark.parametrize("kernel", ["gemv-csr", "gemv-bitmask", "gemv-nm", "gemv-bsr", "dense"])
@pytest.mark.parametrize("m", [64, 67])
@pytest.mark.parametrize("n", [1, 3, 8, 9])
def test_bound_products_with_few_columns_finish_as_asked(kernel, m, n):
    """Whole groups of rows and one column are written where they belong, others by way of a copy."""
    mask = np.tile([True, False, True, False], (m, 25))
    w, x, beside, bias = weights(mask), inputs(100, n), inputs(m, n, 2), inputs(m, 1, 3)[:, 0]
    off = 1e-6 * (np.abs(w) @ np.abs(x) + 10)
    for shift, residual, activation in itertools.product(
        (None, bias), (None, beside), (None, "relu", "gelu")
    ):
        packed = prepare(encode(w, "csr", mask), n, kernel=kernel, bias=shift, activation=activation)
        out = np.full((m, n), np.nan, np.float32)
        call = packed.bind(x, out, residual)
        sums = w.astype(np.float64) @ x + (0 if shift is None else shift[:, None])
        sums = sums if residual is None else sums + residual
        if activation == "relu":
            sums = np.maximum(sums, 0)
        elif activation == "gelu":
            sums *= 0.5 * (1 + np.vectorize(math.erf)(sums / np.sqrt(2)))
        for _ in range(2):
            call()
            assert np.all(np.abs(out - sums) <= off)
        assert np.array_equal(packed.multiply(x, residual=residual), out)
    special = np.where(np.arange(100) == 1, np.float32(np.nan), x.T).T.copy()  # where no row has a weight
    prepare(encode(w, "csr", mask), n, kernel=kernel).bind(special, out)()
    assert np.all(np.abs(out - w.astype(np.float64) @ x) <= off)


def test_a_bound_product_checks_its_arrays_and_may_write_its_input():
    mask = masks(67, 67)["half"]
    w, x = weights(mask), inputs(67, 17)
    packed = prepare(encode(w, "csr", mask), 17, kernel="csr")
    expected = packed @ x
    with pytest.raises(ShapeError, match=r"expected out of shape \(67, 17\)"):
        packed.bind(x, np.zeros((67, 16), np.float32))
    with pytest.raises(FormatError, match="residual of float32"):
        packed.bind(x, x, np.zeros((67, 17)))
    packed.bind(x, x)()
    assert np.array_equal(x, expected)


def test_products_of_many_sizes_share_scratch():
    cases = []
    for m, k, n in ((67, 300, 130), (8, 16, 3), (67, 600, 17)):
        mask = masks(m, k)["half"]
        w, x = weights(mask), inputs(k, n)
        cases.append((prepare(encode(w, "csr", mask), n, kernel="csr"), x))
    expected = [packed @ x for packed, x in cases]
    for _ in range(3):
        assert all(np.array_equal(packed @ x, y) for (packed, x), y in zip(cases, expected, strict=True))
