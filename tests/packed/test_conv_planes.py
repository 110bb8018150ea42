"""Depthwise 3x3 convolution in both of its forms, on planes of any size, against float64 im2col."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simsparse.formats import encode
from simsparse.formats.product import compress_rows
from simsparse.packed import prepare_conv
from simsparse.packed.conv_channels import pack_channels
from simsparse.packed.conv_stream import pack_stream, pays_stream
from simsparse.packed.preparation import threads_here
from tests.packed.conv_cases import conv_shape, convolved


def shape_of(size, stride, padding, channels=4):
    """A geometry that ``pack_stream`` can run; None for others."""
    conv = conv_shape(channels, size, (3, 3), (stride, stride), padding)
    if conv is None or conv.out_height < (4, 2)[stride - 1]:
        return None
    seen = (conv.out_width - 1) * stride + 3 - padding[1]
    return conv if seen <= conv.in_width + 1 else None


SHAPES = st.builds(
    shape_of,
    size=st.tuples(st.integers(1, 14), st.integers(1, 40)),
    stride=st.sampled_from([1, 2]),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 3), st.integers(0, 1)),
    channels=st.integers(1, 5),
)

ANY_SHAPES = st.builds(
    lambda size, stride, padding, channels: conv_shape(channels, size, (3, 3), (stride, stride), padding),
    size=st.tuples(st.integers(1, 24), st.integers(1, 40)),
    stride=st.sampled_from([1, 2]),
    padding=st.tuples(*[st.integers(0, 4)] * 4),
    channels=st.integers(1, 19),
)


def run(conv, multiplier, batch, seed, *, threads=1, special=False, pack=pack_stream):
    rng = np.random.default_rng(seed)
    m = conv.in_channels * multiplier
    w = rng.standard_normal((m, 9)).astype(np.float32)
    x = rng.standard_normal((batch, conv.in_channels, conv.in_height, conv.in_width)).astype(np.float32)
    if special:
        x[rng.random(x.shape) < 0.02] = np.nan
        x[rng.random(x.shape) < 0.02] = np.inf
    size = conv.out_height * conv.out_width
    room = np.full(batch * m * size + 128, 7, np.float32)
    y = room[64:-64].reshape(batch, m, size)
    packed = pack(compress_rows(encode(w, "csr")), conv, threads)
    packed.run(x.reshape(batch, conv.in_channels, -1), y, None, None, 0)
    packed.run(x.reshape(batch, conv.in_channels, -1), y, None, None, 0)  # in the tiles of the first
    assert np.all(room[:64] == 7)
    assert np.all(room[-64:] == 7)
    expected, off = convolved(w, np.ones(w.shape, np.bool_), x, conv, conv.in_channels)
    return y.reshape(expected.shape).copy(), expected, off


@settings(max_examples=150, deadline=None)
@given(conv=SHAPES, multiplier=st.integers(1, 2), batch=st.integers(1, 3), seed=st.integers(0, 1 << 16))
def test_equals_the_convolution_in_float64(conv, multiplier, batch, seed):
    assume(conv is not None)
    y, expected, off = run(conv, multiplier, batch, seed)
    assert np.all(np.abs(y - expected) <= off)


@settings(max_examples=200, deadline=None)
@given(conv=ANY_SHAPES, batch=st.integers(1, 3), seed=st.integers(0, 1 << 16))
def test_a_channel_per_lane_equals_it_too(conv, batch, seed):
    assume(conv is not None)
    y, expected, off = run(conv, 1, batch, seed, pack=pack_channels)
    assert np.all(np.abs(y - expected) <= off)


@settings(max_examples=60, deadline=None)
@given(conv=SHAPES, seed=st.integers(0, 1 << 16))
def test_nan_and_inf_stay_inside_their_window(conv, seed):
    assume(conv is not None)
    for pack in (pack_stream, pack_channels):
        y, expected, _ = run(conv, 1, 2, seed, special=True, pack=pack)
        assert np.array_equal(np.isnan(y), np.isnan(expected))
        for value in (np.inf, -np.inf):
            assert np.array_equal(y == value, expected == value)


@pytest.mark.parametrize("pack", [pack_stream, pack_channels])
@pytest.mark.parametrize("stride", [1, 2])
def test_threads_change_no_bit(stride, pack):
    for size in ((9, 7), (12, 30)):
        conv = shape_of(size, stride, (1, 1, 1, 1), channels=21)
        one, two = (run(conv, 1, 3, 0, threads=threads_here(threads)[0], pack=pack)[0] for threads in (1, 2))
        assert np.array_equal(one, two)


@pytest.mark.parametrize("pack", [pack_stream, pack_channels])
@pytest.mark.parametrize("isa", ["plain", "avx512"])
@pytest.mark.parametrize("stride", [1, 2])
def test_other_simd_paths(monkeypatch, isa, stride, pack):
    monkeypatch.setenv("SIMSPARSE_SIMD", isa)
    for size in ((9, 7), (12, 38), (4, 4)):
        y, expected, off = run(shape_of(size, stride, (1, 1, 1, 1), channels=18), 1, 2, 0, pack=pack)
        assert np.all(np.abs(y - expected) <= off)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(70, 50), (33, 7), (130, 9)])
def test_planes_beyond_the_tile_go_in_strips(monkeypatch, size, stride):
    from simsparse.packed import conv_channels
    from simsparse.packed.host import Caches

    monkeypatch.setattr(conv_channels, "host_caches", lambda: Caches(l1_bytes=1 << 14))
    conv = conv_shape(11, size, (3, 3), (stride, stride), (2, 1, 3, 0))
    y, expected, off = run(conv, 1, 2, 0, pack=pack_channels)
    assert np.all(np.abs(y - expected) <= off)


@pytest.mark.parametrize(
    ("size", "stride", "left", "kernel"),
    [
        (56, 1, 1, "stream_shares"),
        (64, 2, 1, "stream_shares"),
        (56, 2, 1, "channel_shares"),
        (28, 1, 1, "stream_shares"),
        (14, 1, 1, "channel_shares"),
        (56, 1, 2, "channel_shares"),
    ],
)
def test_planes_choose_their_form(monkeypatch, size, stride, left, kernel):
    from simsparse.packed import conv_stream
    from simsparse.packed.host import Caches

    monkeypatch.setattr(conv_stream, "host_caches", Caches)
    monkeypatch.setattr(conv_stream, "chosen_isa", lambda: "avx2")
    conv = conv_shape(2, (size, size), (3, 3), (stride, stride), (1, left, 1, 1))
    assert pays_stream(conv) == (kernel == "stream_shares")
    ready = prepare_conv(encode(np.ones((2, 9), np.float32), "csr"), conv, groups=2).ready
    assert ready.threaded == kernel
