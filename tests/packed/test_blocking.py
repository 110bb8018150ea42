"""In which blocks a tiled product is cut: within the caches, and Y passes no more often than it must."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.formats import encode
from simsparse.packed import prepare
from simsparse.packed.host import Caches
from simsparse.packed.panels import panels
from simsparse.packed.scratch import borrow, give_back
from simsparse.packed.tiled import DEEP, TERMS, VECTORS, blocking_of, choose_blocking
from tests.packed.product_cases import masks, weights

CACHES = Caches(l1_bytes=32 * 1024, l2_bytes=512 * 1024)
LANES = {"avx512": 16, "avx2": 8, "plain": 4}
cuts = st.fixed_dictionaries(
    {
        "k": st.integers(1, 5000),
        "n": st.integers(1, 4000),
        "density": st.floats(0.005, 1.0),
        "threads": st.sampled_from((1, 2, 4)),
        "isa": st.sampled_from(tuple(LANES)),
    }
)


@settings(max_examples=200, deadline=None)
@given(form=st.sampled_from(tuple(VECTORS)), cut=cuts)
def test_blocks_are_even_and_their_tiles_fit_the_caches(form, cut):
    k, isa = cut["k"], cut["isa"]
    blocking = blocking_of(form, caches=CACHES, **cut)
    assert 1 <= blocking.k_block <= k
    assert blocking.k_block == k or blocking.k_block % 8 == 0
    assert cut["threads"] % blocking.chunks == 0
    row_bytes = panels(cut["n"], blocking.vectors, isa).wide.floats * 4
    # eight rows more where K is cut at a multiple of eight
    assert blocking.k_block * row_bytes <= CACHES.l2_bytes // 4 + 8 * row_bytes or blocking.k_block <= 8


@settings(max_examples=200, deadline=None)
@given(cut=cuts)
def test_thin_rows_run_deep_only_where_that_passes_y_less_often(cut):
    isa, k = cut["isa"], cut["k"]
    found = blocking_of("csr", caches=CACHES, **cut)
    wide = choose_blocking(vectors=VECTORS["csr"][isa], terms=TERMS["csr"], caches=CACHES, **cut)
    if found == wide:
        return
    assert (("csr", isa) in DEEP, cut["density"] < 0.25, wide.k_block < k) == (True, True, True)
    assert found.vectors < wide.vectors
    assert -(-k // found.k_block) <= -(-k // wide.k_block)


def test_deep_blocks_halve_the_visits_of_a_thin_layer_and_dense_ones_stay_wide():
    sizes = {"k": 2048, "n": 196, "threads": 1, "isa": "avx2", "caches": CACHES}
    thin, half = (blocking_of("csr", density=density, **sizes) for density in (0.1, 0.5))
    assert (thin.vectors, thin.k_block) == (4, 256)
    assert half.vectors == 8
    assert blocking_of("csr", density=0.1, **(sizes | {"k": 128})).vectors == 8


def test_borrowed_tiles_are_apart_and_come_back():
    first, second = borrow(2, 100), borrow(2, 100)
    assert first.step >= 400 + 64
    assert first.start % 64 == second.start % 64 == first.step % 64 == 0
    assert not np.may_share_memory(first.room, second.room)
    give_back(2, first)
    again = borrow(2, 100)
    assert again is first
    give_back(2, again)
    larger = borrow(2, 10_000)
    assert larger.step >= 40_000
    give_back(2, larger)
    give_back(2, second)


def test_a_bound_call_keeps_its_arrays_alive_and_no_longer():
    mask = masks(67, 300)["half"]
    packed = prepare(encode(weights(mask), "csr", mask), 17, kernel="csr", activation="relu")
    x, out = np.ones((300, 17), np.float32), np.zeros((67, 17), np.float32)
    expected, kept = packed @ x, weakref.ref(x)
    call = packed.bind(x, out)
    del x
    gc.collect()
    assert kept() is not None
    call()
    assert np.array_equal(out, expected)
    del call
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("k", [128, 300, 600])
def test_deep_and_wide_blocks_give_the_same_product(monkeypatch, k):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    mask = masks(67, k)["thin"]
    w, x = weights(mask), np.random.default_rng(1).standard_normal((k, 70)).astype(np.float32)
    found = prepare(encode(w, "csr", mask), 70, kernel="csr") @ x
    assert np.allclose(found, w.astype(np.float64) @ x, rtol=1e-5, atol=1e-5)
