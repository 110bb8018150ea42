"""One layer on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import UsageError
from simsparse.ir import LayerKind
from simsparse.load.inline import is_inline, parse_inline

SIZE = st.integers(1, 40)


@given(m=SIZE, k=SIZE, n=SIZE)
def test_a_gemm_is_its_three_numbers(m: int, k: int, n: int) -> None:
    (layer,) = parse_inline(f"gemm:{m},{k},{n}").layers
    assert (layer.kind, layer.m, layer.k, layer.n) == (LayerKind.LINEAR, m, k, n)
    assert (layer.input_elements, layer.output_elements) == (k * n, m * n)


@given(c=SIZE, k=SIZE, h=SIZE, w=SIZE, r=st.integers(1, 7), s=st.integers(1, 7), stride=st.integers(1, 4))
def test_a_conv_has_one_output_per_window_that_fits(
    c: int, k: int, h: int, w: int, r: int, s: int, stride: int
) -> None:
    (layer,) = parse_inline(f"conv:{c},{k},{h},{w},{r},{s},{stride}", batch=2).layers
    padded = np.pad(np.zeros((h, w)), ((r // 2, r // 2), (s // 2, s // 2)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (r, s))[::stride, ::stride]
    assert (layer.m, layer.k, layer.n) == (k, c * r * s, 2 * views.shape[0] * views.shape[1])
    assert layer.input_elements == 2 * c * h * w


def test_spaces_capitals_and_a_left_out_stride() -> None:
    plain = parse_inline("conv:64,128,56,56,3,3,1")
    assert parse_inline(" CONV: 64, 128,56,56, 3,3 ") == plain
    assert plain.name == "conv:64,128,56,56,3,3,1"
    assert plain.layers[0].n == 56 * 56


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gemm:1,2,3", True),
        ("conv:", True),
        ("resnet50", False),
        ("gemm", False),
        ("gemm.onnx", False),
        ("c:/conv", False),
    ],
)
def test_what_is_meant_as_a_layer(text: str, expected: bool) -> None:
    assert is_inline(text) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gemm:1,2", 'gemm: expected 3 numbers M,K,N, got 2 in "gemm:1,2" (write gemm:64,64,1024)'),
        ("gemm:1,2,3,4", "expected 3 numbers M,K,N, got 4"),
        ("gemm:", "expected 3 numbers M,K,N, got 1"),
        ("gemm:0,2,3", 'gemm: M: expected a whole number from 1 to 10^9, got "0"'),
        ("gemm:1,-2,3", 'gemm: K: expected a whole number from 1 to 10^9, got "-2"'),
        ("gemm:1,2,1e3", 'gemm: N: expected a whole number from 1 to 10^9, got "1e3"'),
        ("gemm:1,2,²", "gemm: N: expected a whole number"),
        ("gemm:1,2," + "9" * 5000, "gemm: N: expected a whole number"),
        ("gemm:1,2,1000000001", "gemm: N: expected a whole number"),
        ("conv:3,64,224,224,7", "conv: expected 7 numbers C,K,H,W,R,S,stride, got 5"),
        ("conv:3,64,224,224,7,7,0", 'conv: stride: expected a whole number from 1 to 10^9, got "0"'),
        ("gem:1,2,3", 'layer: expected gemm:… or conv:…, got "gem:1,2,3" (write gemm:64,64,1024)'),
    ],
)
def test_a_bad_layer_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_inline(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_gemm_has_no_batch() -> None:
    assert parse_inline("gemm:1,2,3", batch=1).batch == 1
    with pytest.raises(UsageError, match=r"gemm: expected no batch, got 4 \(multiply N instead\)"):
        parse_inline("gemm:1,2,3", batch=4)
    with pytest.raises(UsageError, match="conv: batch: expected a whole number"):
        parse_inline("conv:1,1,1,1,1,1", batch=0)
