"""Convolutions against float64 im2col over awkward geometries, special values, layouts, threads and paths."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simsparse.errors import FormatError, ShapeError, UnknownNameError, UsageError
from simsparse.formats import encode
from simsparse.packed import prepare_conv
from simsparse.packed.conv_pack import Pointwise, Strided
from simsparse.packed.conv_split import SHARED_FLOATS
from simsparse.packed.conv_window import is_flat, is_sampled, is_split, window_of
from tests.packed.conv_cases import conv_shape, convolved

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
GEOMETRIES = st.builds(
    conv_shape,
    channels=st.sampled_from([4, 6]),
    size=st.tuples(st.integers(1, 9), st.sampled_from([1, 5, 7, 8, 9, 15, 16, 17, 31, 33])),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=PAIR,
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
SAME = st.builds(
    lambda size, reach, pads: conv_shape(
        4, size, (2 * reach + 1, 2 * reach + 1), padding=(pads, reach, pads, reach)
    ),
    size=st.tuples(st.integers(1, 12), st.integers(1, 35)),
    reach=st.integers(0, 2),
    pads=st.integers(0, 3),
)
HALF = st.builds(
    lambda size, reach, pads: conv_shape(
        4, size, (2 * reach + 1, 2 * reach + 1), (2, 2), padding=(pads, reach, pads, reach)
    ),
    size=st.tuples(st.integers(1, 12), st.integers(1, 35)),
    reach=st.integers(1, 2),
    pads=st.integers(0, 3),
)
SAMPLED = st.builds(
    lambda size, stride: conv_shape(4, size, (1, 1), stride),
    size=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    stride=PAIR.filter(lambda stride: stride != (1, 1)),
)


def case(conv, groups, m, density, seed, batch):
    rng = np.random.default_rng(seed)
    k = conv.in_channels // groups * conv.kernel_height * conv.kernel_width
    mask = rng.random((m, k)) < density
    w = np.where(mask, rng.standard_normal((m, k)), 0).astype(np.float32)
    x = rng.standard_normal((batch, conv.in_channels, conv.in_height, conv.in_width)).astype(np.float32)
    return w, mask, x


def check(conv, groups, m, density, seed, batch, kernel):
    w, mask, x = case(conv, groups, m, density, seed, batch)
    y = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel).multiply(x)
    expected, off = convolved(w, mask, x, conv, groups)
    assert y.dtype == np.float32
    assert y.shape == expected.shape
    assert np.all(np.abs(y - expected) <= off)


@settings(max_examples=100, deadline=None)
@given(
    conv=st.one_of(GEOMETRIES, SAME, HALF, SAMPLED),
    groups=st.sampled_from([1, 2]),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    batch=st.integers(0, 3),
    kernel=st.sampled_from(["csr", "grouped", None]),
    seed=st.integers(0, 1 << 16),
)
def test_equals_the_convolution_in_float64(conv, groups, density, batch, kernel, seed):
    assume(conv is not None)
    check(conv, groups, 10, density, seed, batch, kernel)


@settings(max_examples=60, deadline=None)
@given(
    conv=st.one_of(GEOMETRIES, SAME, HALF),
    multiplier=st.integers(1, 3),
    density=st.sampled_from([0.0, 0.6, 1.0]),
    batch=st.integers(0, 3),
    seed=st.integers(0, 1 << 16),
)
def test_depthwise(conv, multiplier, density, batch, seed):
    assume(conv is not None)
    check(conv, conv.in_channels, conv.in_channels * multiplier, density, seed, batch, "depthwise")


@settings(max_examples=40, deadline=None)
@given(
    conv=st.one_of(GEOMETRIES, SAME, HALF, SAMPLED),
    m=st.integers(1, 9),
    batch=st.integers(0, 3),
    seed=st.integers(0, 1 << 16),
)
def test_direct(conv, m, batch, seed):
    assume(conv is not None)
    check(conv, 1, m, 1.0, seed, batch, "direct")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(40, 112), (33, 70), (7, 7), (64, 20), (2, 17), (15, 28)])
def test_depthwise_in_strips(size, stride):
    conv = conv_shape(2, size, (3, 3), (stride, stride), (1, 1, 1, 1))
    check(conv, 2, 2, 1.0, 0, 2, None)
    check(conv, 1, 5, 1.0, 0, 2, "direct")


@pytest.mark.parametrize(
    ("size", "padding"), [((1, 1), (1, 1, 1, 1)), ((2, 2), (1, 1, 1, 1)), ((600, 5), (0, 2, 0, 2))]
)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_of_less_than_a_vector_writes_nothing_else(size, padding, multiplier):
    conv = conv_shape(4, size, (3, 3), (1, 1), padding)
    w, mask, x = case(conv, 4, 4 * multiplier, 1.0, 0, 2)
    expected, off = convolved(w, mask, x, conv, 4)
    room = np.full(expected.size + 128, 7, np.float32)
    y = room[64:-64].reshape(expected.shape)
    prepare_conv(encode(w, "csr", mask), conv, groups=4).multiply(x, out=y)
    assert np.all(np.abs(y - expected) <= off)
    assert np.all(room[:64] == 7)
    assert np.all(room[-64:] == 7)


@pytest.mark.parametrize("isa", ["plain", "avx512"])
@pytest.mark.parametrize("kernel", ["csr", "depthwise"])
def test_other_simd_paths(monkeypatch, isa, kernel):
    monkeypatch.setenv("SIMSPARSE_SIMD", isa)
    groups = 6 if kernel == "depthwise" else 1
    for stride, padding in ((1, (1, 1, 1, 1)), (2, (0, 1, 2, 1))):
        conv = conv_shape(6, (7, 9), (3, 3), (stride, stride), padding)
        for density in (0.5, 1.0):
            check(conv, groups, 12, density, 1, 2, kernel)
        check(conv, 1, 5, 1.0, 1, 2, "direct")
    if kernel == "csr":
        check(conv_shape(6, (7, 19), (1, 1), (2, 2)), 1, 12, 0.5, 1, 2, kernel)


CASES = [
    ("csr", 1, conv_shape(4, (9, 13), (3, 3), padding=(1, 1, 1, 1))),
    ("csr", 1, conv_shape(4, (9, 13), (3, 3), (2, 2), (1, 0, 1, 2))),
    ("grouped", 2, conv_shape(4, (9, 13), (3, 3), padding=(1, 1, 1, 1))),
    ("csr", 1, conv_shape(4, (9, 13), (1, 1))),
    ("grouped", 1, conv_shape(4, (9, 13), (1, 1), (2, 2))),
    ("depthwise", 4, conv_shape(4, (9, 13), (3, 3), padding=(1, 1, 1, 1))),
    ("depthwise", 4, conv_shape(4, (9, 13), (3, 3), (2, 2), (1, 1, 1, 1))),
    ("direct", 1, conv_shape(4, (9, 13), (3, 3), (2, 2), (1, 1, 1, 1))),
]


@pytest.mark.parametrize("density", [0.4, 1.0])
@pytest.mark.parametrize(("kernel", "groups", "conv"), CASES)
def test_nan_and_inf_reach_exactly_the_rows_that_store_a_weight(kernel, groups, conv, density):
    density = 1.0 if kernel == "direct" else density  # it runs with all weights only
    w, mask, x = case(conv, groups, 8, density, 3, 2)
    x[0, :, 0, 0], x[0, 1, 8, 12], x[1, 2, 4, 12], x[1, 0, 5, 0] = np.nan, np.inf, -np.inf, np.nan
    y = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel).multiply(x)
    expected, _ = convolved(w, mask, x, conv, groups)
    assert np.isnan(expected).any()
    assert np.isfinite(expected).any()
    assert np.array_equal(np.isnan(y), np.isnan(expected))
    for value in (np.inf, -np.inf):
        assert np.array_equal(y == value, expected == value)


@pytest.mark.parametrize("density", [0.4, 1.0])
@pytest.mark.parametrize(("kernel", "groups", "conv"), CASES)
def test_layouts_of_x_out_and_residual(kernel, groups, conv, density):
    density = 1.0 if kernel == "direct" else density  # it runs with all weights only
    w, mask, x = case(conv, groups, 8, density, 3, 2)
    packed = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel)
    expected = packed.multiply(x)
    framed = np.zeros((3, 7, 11, 20), np.float32)
    framed[:2, 1:5, 1:10, 3:16] = x
    for same in (np.asfortranarray(x), framed[:2, 1:5, 1:10, 3:16], np.repeat(x, 2, 1)[:, ::2]):
        assert np.array_equal(packed.multiply(same), expected)
    b, m, height, width = expected.shape
    room = np.full((b + 1, m + 2, height, width + 3), 7, np.float32)
    for out in (room[1:, 1:-1, :, 2:-1], np.empty((b, 2 * m, height, width), np.float32)[:, ::2]):
        assert packed.multiply(x, out=out) is out
        assert np.array_equal(out, expected)
    room[1:, 1:-1, :, 2:-1] = 7
    assert np.all(room == 7)
    together = expected.copy()
    packed.multiply(x, out=together, residual=together)
    assert np.array_equal(together, packed.multiply(x, residual=np.asfortranarray(expected)))


@pytest.mark.parametrize("density", [0.4, 1.0])
@pytest.mark.parametrize(("kernel", "groups", "conv"), CASES)
def test_bound_arrays_are_read_anew_in_each_call(kernel, groups, conv, density):
    density = 1.0 if kernel == "direct" else density
    w, mask, x = case(conv, groups, 8, density, 3, 2)
    packed = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel, activation="relu")
    out = np.empty((2, 8, conv.out_height, conv.out_width), np.float32)
    beside = np.ones_like(out)
    call = packed.bind(x, out, beside)
    for scale in (1, -2):
        x *= scale
        beside *= scale
        call()
        assert np.array_equal(out, packed.multiply(x, residual=beside))


def test_what_cannot_be_bound_in_place_is_multiplied():
    conv = conv_shape(4, (6, 9), (3, 3), padding=(1, 1, 1, 1))
    w, mask, x = case(conv, 4, 4, 1.0, 5, 2)
    packed = prepare_conv(encode(w, "csr", mask), conv, groups=4)
    expected = packed.multiply(x)
    apart = np.asfortranarray(x)
    out = np.empty_like(expected)
    packed.bind(apart, out)()
    assert np.array_equal(out, expected)
    packed.bind(x, x)()
    assert np.array_equal(x, expected)
    with pytest.raises(ShapeError, match="expected out of shape"):
        packed.bind(x, out[:1])


def test_out_may_be_x_itself():
    for groups, kernel, density in ((1, "csr", 0.5), (4, "depthwise", 0.5), (4, "depthwise", 1.0)):
        conv = conv_shape(4, (6, 9), (3, 3), padding=(1, 1, 1, 1))
        w, mask, x = case(conv, groups, 4, density, 5, 2)
        packed = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel)
        expected = packed.multiply(x)
        assert np.array_equal(packed.multiply(x, out=x), expected)


@pytest.mark.parametrize("density", [0.6, 1.0])
@pytest.mark.parametrize(("kernel", "groups", "conv"), CASES)
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "gelu"])
def test_epilogue(kernel, groups, conv, activation, density):
    from math import erf

    density = 1.0 if kernel == "direct" else density  # it runs with all weights only
    w, mask, x = case(conv, groups, 8, density, 4, 2)
    bias = np.linspace(-2, 9, 8).astype(np.float32)
    packed = prepare_conv(
        encode(w, "csr", mask), conv, groups=groups, kernel=kernel, bias=bias, activation=activation
    )
    sums, off = convolved(w, mask, x, conv, groups)
    sums = sums + bias[:, None, None]
    beside = np.random.default_rng(5).standard_normal(sums.shape).astype(np.float32)
    act = {
        None: lambda v: v,
        "relu": lambda v: np.maximum(v, 0),
        "relu6": lambda v: np.clip(v, 0, 6),
        "gelu": lambda v: v * 0.5 * (1 + np.vectorize(erf)(v / np.sqrt(2))),
    }[activation]
    room = 1.2 * off + 2e-6 * (np.abs(sums) + 1)
    assert np.all(np.abs(packed.multiply(x) - act(sums)) <= room)
    assert np.all(np.abs(packed.multiply(x, residual=beside) - act(sums + beside)) <= room)
    x[1, :, 4, 4] = np.nan
    assert np.isnan(packed.multiply(x)).any() == np.isnan(convolved(w, mask, x, conv, groups)[0]).any()


@pytest.mark.parametrize(("kernel", "groups", "conv"), CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_over_the_residual_is_the_same_as_beside_it(kernel, groups, conv, threads):
    w, mask, x = case(conv, groups, 8, 1.0 if kernel == "direct" else 0.6, 4, 2)
    packed = prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel, threads=threads)
    shape = packed.multiply(x).shape
    beside = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    expected = packed.multiply(x, residual=beside)
    over = beside.copy()
    call = packed.bind(x, over, over)
    for _ in range(2):
        over[:] = beside
        call()
        assert np.array_equal(over, expected)
    room = np.zeros((*shape[:3], shape[3] + 1), np.float32)
    room[..., :-1] = beside
    packed.multiply(x, out=room[..., 1:], residual=room[..., :-1])  # not the same place, but partly
    assert np.array_equal(room[..., 1:], expected)


@pytest.mark.parametrize(("kernel", "groups", "conv"), [*CASES[:2], *CASES[4:]])
@pytest.mark.parametrize("density", [0.4, 1.0])
def test_threads_change_no_bit(kernel, groups, conv, density):
    density = 1.0 if kernel == "direct" else density  # it runs with all weights only
    w, mask, x = case(conv, groups, 8, density, 3, 3)
    one, two = (
        prepare_conv(encode(w, "csr", mask), conv, groups=groups, kernel=kernel, threads=t) for t in (1, 2)
    )
    assert np.array_equal(one.multiply(x), two.multiply(x))


@pytest.mark.parametrize(
    ("taps", "stride", "padding"),
    [((1, 1), (2, 2), 0), ((1, 1), (2, 1), 0), ((1, 1), (3, 2), 0), ((3, 3), (2, 2), 1)],
)
def test_threads_share_the_channels_of_a_large_image(taps, stride, padding):
    conv = conv_shape(23, (57, 53), taps, stride, (padding,) * 4)
    assert conv.in_channels * conv.in_height * conv.in_width >= SHARED_FLOATS
    w, mask, x = case(conv, 1, 8, 0.5, 3, 2)
    one, two = (prepare_conv(encode(w, "csr", mask), conv, threads=t) for t in (1, 2))
    expected = one.multiply(x)
    sums, off = convolved(w, mask, x, conv, 1)
    assert np.all(np.abs(expected - sums) <= off)
    for _ in range(10):
        assert np.array_equal(two.multiply(x), expected)


def test_what_runs_follows_geometry_and_pattern(monkeypatch):
    monkeypatch.setenv("SIMSPARSE_SIMD", "avx2")
    rng = np.random.default_rng(0)
    conv = conv_shape(16, (9, 9), (3, 3), padding=(1, 1, 1, 1))
    thin, full = rng.random((64, 144)) < 0.1, np.ones((64, 144), np.bool_)
    blocks = np.repeat(rng.random((16, 144)) < 0.1, 4, axis=0)
    for mask, kernel in ((thin, "csr"), (full, "grouped"), (blocks, "grouped")):
        packed = prepare_conv(encode(mask.astype(np.float32), "csr"), conv)
        assert packed.kernel == kernel
        assert packed.packing_s > 0
        assert packed.stored_bytes >= 4 * mask.sum()
        assert packed.notes == ()
    images = conv_shape(3, (32, 32), (3, 3), (2, 2), (1, 1, 1, 1))
    for mask, kernel in ((np.ones((64, 27), np.bool_), "direct"), (thin[:, :27], "csr")):
        assert prepare_conv(encode(mask.astype(np.float32), "csr"), images).kernel == kernel
    own = prepare_conv(encode(np.ones((32, 9), np.float32), "csr"), conv, groups=16)
    assert (own.kernel, own.groups) == ("depthwise", 16)
    point = prepare_conv(encode(np.eye(16, dtype=np.float32), "csr"), conv_shape(16, (1, 1), (1, 1)))
    assert isinstance(point.ready, Pointwise)
    half = prepare_conv(
        encode(thin[:, :16].astype(np.float32), "csr"), conv_shape(16, (9, 9), (1, 1), (2, 2))
    )
    assert isinstance(half.ready, Strided)
    assert isinstance(half.ready.images, Pointwise)


def test_planes_are_shifted_where_they_can_be():
    shapes = [conv_shape(1, (8, 8), (3, 3), (s, s), (1, p, 1, p)) for s in (1, 2) for p in (0, 1)]
    assert [is_flat(conv) for conv in shapes] == [False, True, False, False]
    assert [is_split(conv) for conv in shapes] == [False, False, False, True]
    assert [window_of(conv).numbers.size > 0 for conv in shapes] == [True, False, True, False]
    points = [conv_shape(1, (8, 8), (1, 1), stride) for stride in ((1, 1), (2, 2), (3, 1), (1, 3))]
    assert [is_sampled(conv) for conv in points] == [False, True, True, False]


def test_channels_of_a_block_in_runs():
    for kernel in ("csr", "grouped"):
        for channels, stride in ((70, 1), (33, 2)):
            conv = conv_shape(channels, (6, 9), (3, 3), (stride, stride), (1, 1, 1, 1))
            check(conv, 1, 8, 0.3, 0, 1, kernel)
        check(conv_shape(70, (6, 9), (3, 2)), 1, 8, 0.3, 0, 1, kernel)


def test_layers_with_stride_share_memory():
    shapes = [conv_shape(4, (9, 9), (t, t), (2, 2), (t // 2,) * 4) for t in (1, 3)]
    shapes += [conv_shape(4, (30, 40), (t, t), (2, 2), (t // 2,) * 4) for t in (3, 1)]
    calls = []
    for conv in shapes:
        w, mask, x = case(conv, 1, 4, 0.5, 7, 2)
        out = np.empty((2, 4, conv.out_height, conv.out_width), np.float32)
        packed = prepare_conv(encode(w, "csr", mask), conv, kernel="csr")
        calls.append((packed.bind(x, out), out, *convolved(w, mask, x, conv, 1)))
    for _ in range(2):
        for call, out, expected, off in [*calls, *reversed(calls)]:
            out[:] = np.nan
            call()
            assert np.all(np.abs(out - expected) <= off)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_weights_and_inputs_are_widened_exactly(dtype):
    conv = conv_shape(1, (1, 3), (1, 2))
    packed = prepare_conv(encode(np.array([[1.5, -2]], dtype), "csr"), conv)
    assert packed.multiply(np.array([1, 2, 4], dtype).reshape(1, 1, 1, 3)).tolist() == [[[[-2.5, -5.0]]]]


def test_mistakes_read_like_this():
    conv = conv_shape(4, (5, 6), (3, 3), padding=(1, 1, 1, 1))
    encoded = encode(np.ones((8, 36), np.float32), "csr")
    packed = prepare_conv(encoded, conv, kernel="csr")
    x = np.ones((2, 4, 5, 6), np.float32)
    with pytest.raises(ShapeError, match=r"expected x of shape \(batch, 4, 5, 6\), got \(4, 5, 6\)"):
        packed.multiply(x[0])
    with pytest.raises(FormatError, match=r"expected x of float32, got float64 \(convert"):
        packed.multiply(x.astype(np.float64))
    with pytest.raises(ShapeError, match=r"expected out of shape \(2, 8, 5, 6\), got \(2, 8, 6, 5\)"):
        packed.multiply(x, out=np.empty((2, 8, 6, 5), np.float32))
    with pytest.raises(FormatError, match="expected residual of float32, got int64"):
        packed.multiply(x, residual=np.ones((2, 8, 5, 6), np.int64))
    with pytest.raises(ShapeError, match=r"expected weights of shape \(m, 18\).* got \(8, 36\)"):
        prepare_conv(encoded, conv, groups=2)
    with pytest.raises(ShapeError, match="expected groups that divide 4 channels in and 8 out, got 3"):
        prepare_conv(encoded, conv, groups=3)
    with pytest.raises(ShapeError, match=r"expected bias of shape \(8,\), got \(4,\)"):
        prepare_conv(encoded, conv, bias=np.ones(4))
    with pytest.raises(UsageError, match='"relu6", "gelu" or None, got "tanh"'):
        prepare_conv(encoded, conv, activation="tanh")
    with pytest.raises(UsageError, match="threads >= 1, got 0"):
        prepare_conv(encoded, conv, threads=0)
    with pytest.raises(UnknownNameError, match="did you mean csr"):
        prepare_conv(encoded, conv, kernel="cssr")
    with pytest.raises(UsageError, match="one group per channel"):
        prepare_conv(encoded, conv, kernel="depthwise")
    with pytest.raises(
        UsageError, match="all weights and few input channels for kernel direct, got 2 groups"
    ):
        prepare_conv(encode(np.ones((8, 18), np.float32), "csr"), conv, groups=2, kernel="direct")
    with pytest.raises(FormatError, match="float32 holds, got float64"):
        prepare_conv(encode(np.ones((8, 36)), "csr"), conv)


def test_output_size_must_follow_from_the_rest():
    from dataclasses import replace

    conv = conv_shape(4, (5, 6), (3, 3))
    with pytest.raises(ShapeError, match="expected an output of 3x4, got 4x4"):
        prepare_conv(encode(np.ones((8, 36), np.float32), "csr"), replace(conv, out_height=4))
