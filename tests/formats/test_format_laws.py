"""The three laws of storage, over every format: exact reading, exact bits, right products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from format_cases import DTYPES, FORMATS, KINDS, any_bits, conforms, make_mask, masks, raw
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats import Encoded, SparseFormat, make_format, multiply

every_format = pytest.mark.parametrize("format_", FORMATS, ids=str)
seeds = st.integers(0, 2**16)


def expect_laws(encoded: Encoded, weights: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    kept = np.where(mask, weights, np.zeros((), weights.dtype))
    decoded = encoded.decode()
    assert decoded.dtype == weights.dtype
    np.testing.assert_array_equal(raw(decoded), raw(kept))

    value_bits = 8 * weights.dtype.itemsize
    footprint = encoded.format.footprint(mask, value_bits=value_bits)
    assert footprint == encoded.footprint
    assert footprint.value_bits == mask.sum() * value_bits
    assert min(footprint.metadata_bits, footprint.padding_bits) >= 0
    assert len(encoded.pack()) == footprint.total_bytes
    for field in encoded.fields.values():
        assert int(raw(field.data).max(initial=0)) < 1 << field.bits
    encoded.check()


@every_format
@given(mask=masks(), dtype=st.sampled_from(DTYPES), seed=seeds)
@settings(max_examples=25)
def test_reading_is_exact_and_bits_are_counted(
    format_: SparseFormat, mask: Any, dtype: Any, seed: int
) -> None:
    weights = any_bits(mask.shape, dtype, seed)
    if conforms(format_, mask):
        format_.check(mask)
        expect_laws(format_.encode(weights, mask), weights, mask)
        return
    for refused in (
        lambda: format_.check(mask),
        lambda: format_.encode(weights, mask),
        lambda: format_.footprint(mask, value_bits=8),
    ):
        with pytest.raises(FormatError, match="expected at most"):
            refused()


@every_format
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (37, 1), (70, 41)])
def test_every_kind_of_mask_at_awkward_shapes(
    format_: SparseFormat, kind: str, shape: tuple[int, int]
) -> None:
    mask = make_mask(kind, *shape, seed=3)
    if conforms(format_, mask):
        weights = any_bits(shape, np.dtype(np.float32), 5)
        expect_laws(format_.encode(weights, mask), weights, mask)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@given(seed=seeds)
@settings(max_examples=20)
def test_without_a_mask_what_is_not_zero_is_kept(dtype: Any, seed: int) -> None:
    weights = any_bits((9, 13), dtype, seed)
    encoded = make_format("bitmask").encode(weights)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = weights.astype(np.float64)
    np.testing.assert_array_equal(encoded.fields["mask"].data.astype(bool), np.isnan(wide) | (wide != 0))
    np.testing.assert_array_equal(raw(encoded.decode()), np.where(wide == 0, 0, raw(weights)))


@every_format
def test_a_kept_zero_is_an_entry_and_keeps_its_sign(format_: SparseFormat) -> None:
    mask = np.zeros((4, 8), bool)
    mask[1, 4] = mask[2, 0] = conforms(format_, np.eye(4, 8, dtype=bool))
    weights = np.full((4, 8), -0.0, np.float32)
    weights[2, 0] = 0.0
    encoded = format_.encode(weights, mask)
    np.testing.assert_array_equal(raw(encoded.decode()) != 0, mask & np.signbit(weights))
    assert encoded.footprint.value_bits == 32 * mask.sum()


@every_format
@given(mask=masks(), dtype=st.sampled_from(DTYPES[:5]), seed=seeds, n=st.integers(1, 9))
@settings(max_examples=10)
def test_products_stay_within_rounding(
    format_: SparseFormat, mask: Any, dtype: Any, seed: int, n: int
) -> None:
    if not conforms(format_, mask):
        return
    rng = np.random.default_rng(seed)
    scale = 100 if dtype.kind == "i" else 1
    weights = (scale * rng.uniform(-1, 1, mask.shape)).astype(dtype)
    x = (scale * rng.uniform(-1, 1, (mask.shape[1], n))).astype(dtype)
    y = multiply(format_.encode(weights, mask), x)
    exact_w, exact_x = np.where(mask, weights.astype(np.float64), 0.0), x.astype(np.float64)
    error = np.abs(y.astype(np.float64) - exact_w @ exact_x)
    if dtype.kind == "i":
        assert y.dtype == np.int32
        assert not error.any()
        return
    assert y.dtype == (np.float64 if dtype == np.float64 else np.float32)
    # the reference itself rounds in float64, hence twice the bound there
    bound = 2 * (mask.shape[1] + 1) * np.finfo(y.dtype).eps * (np.abs(exact_w) @ np.abs(exact_x))
    assert (error <= bound).all()


@every_format
def test_padding_never_meets_an_infinite_input(format_: SparseFormat) -> None:
    mask = np.zeros((5, 8), bool)
    mask[0, 0] = mask[4, 4] = conforms(format_, np.eye(5, 8, dtype=bool))
    x = np.full((8, 2), np.inf, np.float32)
    x[[0, 4]] = 2.0
    y = multiply(format_.encode(np.ones((5, 8), np.float32), mask), x)
    np.testing.assert_array_equal(y, np.outer(2.0 * mask.any(axis=1), [1, 1]))
