"""The door: what is chosen, what is said, and what a mistake reads like."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from simsparse.errors import FormatError, ShapeError, UnknownNameError, UsageError
from simsparse.formats import encode, format_names
from simsparse.packed import kernels, prepare
from simsparse.packed.arrays import aligned, balanced_bounds
from simsparse.packed.choose import choose
from simsparse.packed.gemv_cost import gemv_seconds
from simsparse.packed.host import host_caches
from simsparse.packed.panels import panel_groups, panels, shares
from simsparse.packed.request import Request
from simsparse.packed.spmm_cost import spmm_seconds
from tests.packed.product_cases import masks, weights


@pytest.fixture(scope="module")
def half():
    mask = masks(67, 300)["half"]
    return encode(weights(mask), "csr", mask)


def test_kernels_are_named_once_and_read_known_formats():
    names = [info.name for info in kernels()]
    assert len(set(names)) == len(names)
    assert {form for info in kernels() for form in info.formats} <= set(format_names())


@pytest.mark.parametrize(
    ("kind", "n", "expected"),
    [
        ("full", 64, "dense"),
        ("4x1", 64, "grouped"),
        ("thin", 64, "csr"),
        ("half", 64, "csr"),
        ("2:4", 64, "pairs"),
    ],
)
def test_choice_follows_the_pattern(monkeypatch, kind, n, expected):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    mask = masks(64, 256)[kind]
    assert prepare(encode(weights(mask), "csr", mask), n).kernel == expected


@pytest.mark.parametrize(("kind", "expected"), [("thin", "csr"), ("4x1", "bsr"), ("2:4", "nm")])
def test_one_column_takes_a_vector_kernel(monkeypatch, kind, expected):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    mask = masks(512, 1024)[kind]
    assert prepare(encode(weights(mask), "csr", mask), 1).kernel == f"gemv-{expected}"


def test_choice_follows_the_cheapest_estimate(monkeypatch):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    for m, k, n in ((16, 64, 1), (256, 512, 1), (256, 512, 2), (512, 1024, 1), (256, 256, 100)):
        mask = masks(m, k)["half"]
        request = Request(encoded=encode(weights(mask), "csr", mask), n=n, threads=1)
        stored = int(mask.sum())
        if n == 1:
            seconds = {
                "dense": gemv_seconds("dense", (m, k), m * k),
                "gemv-bitmask": gemv_seconds("bitmask", (m, k), stored),
                "gemv-csr": gemv_seconds("csr", (m, k), stored),
            }
        else:
            seconds = {
                "dense": spmm_seconds("dense", m * k, n, "avx2"),
                "csr": spmm_seconds("tiled", stored, n, "avx2"),
            }
        assert choose(request, None) == (min(seconds, key=seconds.get), ())


def test_pairs_of_rows_are_for_panels_that_hide_latency():
    for n, faster in ((8, "tiled"), (16, "tiled"), (64, "pairs"), (196, "pairs")):
        seconds = {kernel: spmm_seconds(kernel, 500_000, n, "avx2") for kernel in ("tiled", "pairs")}
        assert min(seconds, key=seconds.get) == faster


def test_two_columns_of_no_pattern_take_the_tiled_kernel(monkeypatch):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    mask = masks(512, 1024)["half"]
    for n in (2, 4, 16):
        assert prepare(encode(weights(mask), "csr", mask), n).kernel == "csr"


def test_32_registers_take_groups_for_random_patterns(monkeypatch, half):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx512")
    assert prepare(half, 64).kernel == "grouped"


def test_conversion_is_said():
    mask = masks(67, 300)["half"]
    for name, converted in (("csr", None), ("coo", "coo"), ("ell", "ell"), ("bitmask", "bitmask")):
        packed = prepare(encode(weights(mask), name, mask), 64, kernel="csr")
        assert packed.packed_from == converted
        assert packed.packing_s > 0
        assert packed.stored_bytes > 0


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_weights_and_inputs_are_widened_exactly(dtype):
    w = np.array([[1.5, 0, -2], [0, 0, 3]], dtype)
    x = np.array([[1, 2], [3, 4], [5, 6]], dtype)
    y = prepare(encode(w, "csr"), 64) @ x
    assert y.tolist() == [[-8.5, -9.0], [15.0, 18.0]]


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int32])
def test_wider_weights_fall_back_and_say_so(dtype):
    w, x = np.array([[1, 0], [0, 3]], dtype), np.array([[1, 2], [3, 4]], dtype)
    packed = prepare(encode(w, "csr"), 2, kernel="csr")
    assert packed.kernel == "portable"
    assert packed.notes == (f"csr: no {np.dtype(dtype)} weights, runs as portable",)
    assert np.array_equal(packed @ x, w @ x)
    assert prepare(encode(w, "csr"), 2).notes == ()


def test_vectors_give_vectors(half):
    packed = prepare(half, 1)
    x = np.ones(300, np.float32)
    assert (packed @ x).shape == (67,)
    out = np.empty(67, np.float32)
    assert packed.multiply(x, out=out) is out
    assert np.array_equal(out, packed @ x)


def test_mistakes_read_like_this(half):
    packed = prepare(half, 4)
    x = np.ones((300, 4), np.float32)
    with pytest.raises(ShapeError, match=r"expected x of shape \(300, n\) or \(300,\), got \(299, 4\)"):
        packed @ x[:-1]
    with pytest.raises(FormatError, match=r"expected x of float32, got float64 \(convert"):
        packed @ x.astype(np.float64)
    with pytest.raises(FormatError, match="expected x of float32, got int8"):
        packed @ x.astype(np.int8)
    with pytest.raises(ShapeError, match=r"expected out of shape \(67, 4\), got \(67, 5\)"):
        packed.multiply(x, out=np.empty((67, 5), np.float32))
    with pytest.raises(FormatError, match="expected residual of float32, got float64"):
        packed.multiply(x, residual=np.ones((67, 4)))
    with pytest.raises(ShapeError, match=r"expected bias of shape \(67,\), got \(66,\)"):
        prepare(half, 4, bias=np.ones(66))
    with pytest.raises(UsageError, match="n_columns=0"):
        prepare(half, 0)
    with pytest.raises(UsageError, match="threads=0"):
        prepare(half, 4, threads=0)
    with pytest.raises(UsageError, match='got "tanh"'):
        prepare(half, 4, activation="tanh")
    with pytest.raises(UnknownNameError, match="did you mean csr"):
        prepare(half, 4, kernel="cssr")


def test_simd_variable_is_checked(monkeypatch, half):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx1024")
    with pytest.raises(UnknownNameError, match="SIMSPARSE_SIMD"):
        prepare(half, 64)


def test_too_many_threads_run_on_those_there_are(half):
    packed = prepare(half, 64, threads=10_000)
    assert packed.threads < 10_000
    assert packed.notes == (f"10000 threads asked, {packed.threads} here",)


def test_panels_cover_every_column_once_and_shares_every_panel():
    for n in range(1, 400):
        for most in (3, 4, 8):
            cut = panels(n, most)
            vectors = cut.wide.count * cut.wides + cut.narrow.count * (cut.total - cut.wides)
            assert vectors == -(-n // cut.wide.lanes)
            assert cut.wide.count <= most
            for threads in (1, 2, 3, 4):
                runs = panel_groups(cut.total, threads)
                table = shares(cut.wides, cut.total, threads, threads // runs)
                assert table.shape == (threads, 5)
                wide, narrow = (table[:, i + 1] - table[:, i] for i in (0, 2))
                chunks = threads // runs
                assert (wide.sum(), narrow.sum()) == (cut.wides * chunks, (cut.total - cut.wides) * chunks)


def test_bounds_balance_and_keep_to_multiples():
    rng = np.random.default_rng(0)
    for parts in (1, 2, 5):
        for multiple in (1, 4):
            costs = rng.integers(1, 20, 203)
            bounds = balanced_bounds(costs, parts, multiple=multiple)
            assert (bounds[0], bounds[-1], bounds.size) == (0, 203, parts + 1)
            assert np.all(np.diff(bounds) > 0)
            assert np.all(bounds[:-1] % multiple == 0)
            loads = np.add.reduceat(costs, bounds[:-1])
            assert loads.max() <= costs.sum() / parts + 20 * (multiple + 1)


def test_aligned_arrays_start_cache_lines():
    for size in (1, 33, 4096):
        array = aligned(size, np.float32)
        assert array.size == size
        assert array.ctypes.data % 64 == 0


def test_caches_are_plausible():
    caches = host_caches()
    assert 8 * 1024 <= caches.l1_bytes < caches.l2_bytes


def test_reading_many_threads_at_once_is_safe():
    from concurrent.futures import ThreadPoolExecutor

    mask = masks(67, 300)["half"]
    packed = prepare(encode(weights(mask), "csr", mask), 16, kernel="csr")
    xs = [np.full((300, 16), i, np.float32) for i in range(16)]
    expected = [packed @ x for x in xs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(packed.multiply, xs * 20))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected * 20, strict=True))
