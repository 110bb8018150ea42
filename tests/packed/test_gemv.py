"""Few-vector products against NumPy in float64, over kernels, weight types, remainders and special values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.errors import FormatError, ShapeError
from simsparse.formats.bitmask import BitmaskFormat
from simsparse.formats.bsr import BsrFormat
from simsparse.formats.coo import CooFormat
from simsparse.formats.csr import CsrFormat
from simsparse.formats.nm import NmFormat
from simsparse.packed.gemv import KERNELS, pack_gemv
from simsparse.packed.gemv_cost import gemv_seconds

SIZES = st.sampled_from([1, 3, 4, 5, 8, 15, 16, 17, 33, 64, 65, 130])


def nm_mask(rng, m, k, keep, group):
    order = rng.random((m, -(-k // group), group)).argsort(axis=2).argsort(axis=2)
    return (order < keep).reshape(m, -1)[:, :k]


def mask_for(kernel, rng, m, k):
    if kernel == "nm":
        return nm_mask(rng, m, k, *[(1, 4), (2, 4), (4, 8)][rng.integers(3)])
    if kernel == "bsr":
        tall = [4, 8, 16][rng.integers(3)]
        return np.repeat(rng.random((-(-m // tall), k)) < 0.4, tall, axis=0)[:m]
    return rng.random((m, k)) < rng.choice([0.0, 0.1, 0.5, 1.0])


def expected(weights, mask, x):
    return np.where(mask, weights, 0).astype(np.float64) @ x.astype(np.float64)


def bound(weights, mask, x):
    """A forward error bound of any summation order, with one rounding of the weights to spare."""
    kept = np.where(mask, np.abs(weights), 0).astype(np.float64)
    return 1e-30 + (mask.sum(axis=1).max() + 2) * 2.0**-23 * (kept @ np.abs(x).astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(kernel=st.sampled_from(KERNELS), m=SIZES, k=SIZES, n=st.integers(0, 9), seed=st.integers(0, 1 << 16))
def test_equals_the_product_in_float64(kernel, m, k, n, seed):
    rng = np.random.default_rng(seed)
    mask, weights = mask_for(kernel, rng, m, k), rng.standard_normal((m, k)).astype(np.float32)
    x = rng.standard_normal((k, n) if n else k).astype(np.float32)
    y = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel).multiply(x)
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    assert y.shape == ((m, n) if n else (m,))
    assert np.all(np.abs(y - expected(weights, mask, x)) <= bound(weights, mask, x))


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.sampled_from(KERNELS),
    dtype=st.sampled_from(["bf16", "int8"]),
    m=SIZES,
    k=SIZES,
    n=st.sampled_from([0, 3]),
    seed=st.integers(0, 1 << 16),
)
def test_narrow_weights_stay_within_their_bound(kernel, dtype, m, k, n, seed):
    rng = np.random.default_rng(seed)
    mask, weights = mask_for(kernel, rng, m, k), rng.standard_normal((m, k)).astype(np.float32)
    x = rng.standard_normal((k, n) if n else k).astype(np.float32)
    y = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel, dtype=dtype).multiply(x)
    kept = np.where(mask, np.abs(weights), 0)
    error = kept * 2.0**-8 if dtype == "bf16" else np.where(mask, kept.max(axis=1, keepdims=True) / 254, 0)
    allowed = 1.001 * error @ np.abs(x).astype(np.float64) + 2 * bound(weights, mask, x)
    assert np.all(np.abs(y - expected(weights, mask, x)) <= allowed)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from(KERNELS),
    n=st.sampled_from([1, 2, 5]),
    special=st.sampled_from([np.nan, np.inf, -np.inf]),
    seed=st.integers(0, 1 << 16),
)
def test_nan_and_inf_reach_exactly_their_rows(kernel, n, special, seed):
    rng = np.random.default_rng(seed)
    mask, weights = mask_for(kernel, rng, 21, 37), rng.standard_normal((21, 37)).astype(np.float32)
    mask[rng.random((21, 37)) < 0.3] = False  # slots and blocks with holes
    x = rng.standard_normal((37, n)).astype(np.float32)
    x[rng.integers(37), rng.integers(n)] = special
    y = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel).multiply(x)
    with np.errstate(invalid="ignore"):
        products = np.where(mask[:, :, None], weights[:, :, None] * x[None], 0)
        np.testing.assert_allclose(y, products.sum(axis=1, dtype=np.float64), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_and_inf_weights_reach_their_rows_only(kernel):
    weights = np.ones((9, 32), np.float32)
    weights[3, 5], weights[6, 8] = np.nan, np.inf
    mask = nm_mask(np.random.default_rng(0), 9, 32, 2, 4)
    mask[3, 4:8], mask[6, 8:12] = (0, 1, 0, 0), (1, 0, 0, 0)
    y = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel).multiply(np.ones(32, np.float32))
    assert np.isnan(y[3])
    assert y[6] == np.inf
    assert np.array_equal(np.delete(y, [3, 6]), np.delete(mask.sum(axis=1), [3, 6]))


@pytest.mark.parametrize("kernel", KERNELS)
def test_minus_zero_x_gives_plus_zero(kernel):
    y = pack_gemv(CsrFormat().encode(np.eye(5, 9, dtype=np.float32)), kernel=kernel).multiply(
        np.full(9, -0.0, np.float32)
    )
    assert np.array_equal(y, np.zeros(5))
    assert not np.signbit(y).any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 3])
def test_any_layout_of_x_and_out(kernel, n):
    rng = np.random.default_rng(1)
    mask, weights = mask_for(kernel, rng, 18, 40), rng.standard_normal((18, 40)).astype(np.float32)
    packed = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel)
    wide = rng.standard_normal((2 * n, 80)).astype(np.float32)
    strided, out = wide.T[::2, ::2], np.empty((n, 18), np.float32).T
    assert packed.multiply(strided, out=out) is out
    assert np.array_equal(out, packed.multiply(np.ascontiguousarray(strided)))
    assert np.array_equal(out, packed @ strided.astype(np.float64))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 4])
def test_threads_change_nothing(kernel, n):
    rng = np.random.default_rng(2)
    mask = nm_mask(rng, 101, 150, 2, 4)
    mask[:90] &= rng.random((90, 150)) < 0.1  # rows of very different length
    encoded = CsrFormat().encode(rng.standard_normal((101, 150)).astype(np.float32), mask)
    x = rng.standard_normal((150, n)).astype(np.float32)
    one, two = (pack_gemv(encoded, kernel=kernel, threads=t).multiply(x) for t in (1, 2))
    assert np.array_equal(one, two)


def test_more_threads_than_there_are_is_said():
    packed = pack_gemv(CsrFormat().encode(np.eye(4, dtype=np.float32)), kernel="csr", threads=1000)
    assert packed.threads < 1000
    assert "1000 threads asked" in packed.notes[0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_format_packs_to_the_same(kernel):
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((12, 24)).astype(np.float32) * nm_mask(rng, 12, 24, 2, 4)
    x = rng.standard_normal(24).astype(np.float32)
    formats = [CsrFormat(), CooFormat(), BitmaskFormat(), NmFormat(), BsrFormat(rows=4)]
    results = [pack_gemv(f.encode(weights), kernel=kernel).multiply(x) for f in formats]
    assert all(np.array_equal(y, results[0]) for y in results)


def test_wide_columns_need_wide_indices():
    weights = np.zeros((3, 70_000), np.float32)
    weights[:, [0, 65_535, 69_999]] = 1
    for kernel in ("csr", "bsr"):
        y = pack_gemv(CsrFormat().encode(weights), kernel=kernel).multiply(
            np.arange(70_000, dtype=np.float32)
        )
        assert np.array_equal(y, np.full(3, 65_535 + 69_999))


@pytest.mark.parametrize(
    ("keep", "group", "kernel"), [(1, 4, "nm"), (2, 4, "nm"), (4, 8, "nm"), (3, 4, "csr"), (5, 8, "csr")]
)
def test_nm_runs_what_it_knows_and_says_what_it_does_not(keep, group, kernel):
    mask = nm_mask(np.random.default_rng(4), 8, 64, keep, group)
    packed = pack_gemv(CsrFormat().encode(mask.astype(np.float32)), kernel="nm")
    assert packed.kernel == kernel
    assert bool(packed.notes) == (kernel == "csr")
    assert np.array_equal(packed.multiply(np.ones(64)), np.full(8, keep * 64 // group))


def test_bytes_are_those_of_the_layout():
    dense = CsrFormat().encode(nm_mask(np.random.default_rng(5), 64, 256, 2, 4).astype(np.float32))
    kept = 64 * 128
    overhead = 2048  # row pointers, scales, slack
    for kernel, dtype, value_bytes, position_bits in (
        ("bitmask", "fp32", 4, 2),
        ("nm", "bf16", 2, 2),
        ("csr", "int8", 1, 16),
    ):
        stored = pack_gemv(dense, kernel=kernel, dtype=dtype).stored_bytes
        assert 0 <= stored - kept * (value_bytes + position_bits / 8) <= overhead


@pytest.mark.parametrize("kernel", ["bitmask", "nm", "csr", "bsr"])
def test_hosts_without_avx2_give_the_same(kernel, monkeypatch):
    rng = np.random.default_rng(6)
    weights = rng.standard_normal((10, 45)).astype(np.float32) * nm_mask(rng, 10, 45, 2, 4)
    x = rng.standard_normal((45, 2)).astype(np.float32)
    fast = pack_gemv(CsrFormat().encode(weights), kernel=kernel).multiply(x)
    monkeypatch.setenv("SIMSPARSE_SIMD", "plain")
    packed = pack_gemv(CsrFormat().encode(weights), kernel=kernel)
    np.testing.assert_allclose(packed.multiply(x), fast, rtol=1e-5, atol=1e-5)
    assert any("no AVX2" in note for note in packed.notes) == (kernel in ("bitmask", "nm"))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 3])
def test_the_path_of_wider_vectors_gives_the_same(kernel, n, monkeypatch):
    rng = np.random.default_rng(8)
    mask = nm_mask(rng, 21, 77, 2, 4) & (rng.random((21, 77)) < 0.8)
    weights, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((21, 77), (77, n)))
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx512")
    y = pack_gemv(CsrFormat().encode(weights, mask), kernel=kernel).multiply(x)
    assert np.all(np.abs(y - expected(weights, mask, x)) <= bound(weights, mask, x))


def test_mistakes_say_what_was_expected():
    encoded = CsrFormat().encode(np.eye(4, 6, dtype=np.float32))
    packed = pack_gemv(encoded, kernel="csr")
    with pytest.raises(ShapeError, match=r"x of shape \(6,\) or \(6, n\), got \(4,\)"):
        packed.multiply(np.ones(4))
    with pytest.raises(ShapeError, match=r"out of float32 and shape \(4,\)"):
        packed.multiply(np.ones(6), out=np.empty(4))
    with pytest.raises(FormatError, match="real numbers"):
        packed.multiply(np.ones(6, complex))
    for wrong in ({"kernel": "coo"}, {"kernel": "csr", "dtype": "int4"}, {"kernel": "csr", "threads": 0}):
        with pytest.raises(FormatError, match="expected"):
            pack_gemv(encoded, **wrong)


def test_cost_orders_kernels_as_measured():
    shape, cells = (4096, 4096), 4096 * 4096
    dense = gemv_seconds("dense", shape, cells)
    assert gemv_seconds("bitmask", shape, cells // 2) < dense
    assert gemv_seconds("nm", shape, cells // 2) < gemv_seconds("bitmask", shape, cells // 2)
    assert gemv_seconds("csr", shape, cells // 10) < gemv_seconds("bitmask", shape, cells // 10)
    assert gemv_seconds("csr", shape, cells // 2) > gemv_seconds("bitmask", shape, cells // 2)
    assert gemv_seconds("nm", shape, cells // 2, dtype="int8") < gemv_seconds("nm", shape, cells // 2)
    assert gemv_seconds("csr", shape, cells // 10, n=8) < gemv_seconds("bitmask", shape, cells // 10, n=8)
    with pytest.raises(FormatError, match="expected kernel"):
        gemv_seconds("coo", shape, 1)
