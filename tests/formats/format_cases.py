"""Masks, weights and formats that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsparse.formats import SparseFormat, format_names, make_format

Mask = NDArray[np.bool_]

VARIANTS = (
    "coo:index_bits=16",
    "csr:index_bits=32:pointer_bits=32",
    "csc:banks=3",
    "csc:banks=4:run_bits=4",
    "csc:banks=64:run_bits=2:pointer_bits=16",
    "bsr:1x1",
    "bsr:3x5",
    "ell:index_bits=16",
    "sell:slice_rows=4",
    "sell:slice_rows=4:sigma=8",
    "sell:slice_rows=3:sigma=100:pointer_bits=32",
    "hbitmask:block=5",
    "nm:1:1",
    "nm:0:4",
    "nm:3:5",
    "nm:4:8",
    "vnm:4:2:8",
    "vnm:3:1:5",
    "vnm:1:4:4",
    "dia:index_bits=32",
)
FORMATS: tuple[SparseFormat, ...] = tuple(make_format(text) for text in (*format_names(), *VARIANTS))
DTYPES = tuple(
    np.dtype(dtype)
    for dtype in (
        np.float32,
        np.float16,
        ml_dtypes.bfloat16,
        np.int8,
        np.float64,
        np.int32,
        ml_dtypes.float8_e4m3fn,
    )
)
KINDS = ("random", "empty", "full", "nm", "vnm", "block", "channel", "filter", "band", "corner")


def group_mask(rng: np.random.Generator, m: int, k: int, keep: int, group: int) -> Mask:
    """At most ``keep`` per ``group`` along k, most groups full."""
    rank = rng.random((m, -(-k // group), group)).argsort(axis=2).argsort(axis=2)
    limit = np.where(rng.random(rank.shape[:2]) < 0.7, keep, rng.integers(0, keep + 1, rank.shape[:2]))
    return (rank < limit[..., None]).reshape(m, -1)[:, :k].copy()


def vector_mask(rng: np.random.Generator, m: int, k: int, rows: int, keep: int, group: int) -> Mask:
    """Rows of a block of ``rows`` share 4 columns per group, each keeps at most ``keep`` of them."""
    mask = np.zeros((m, -(-k // group) * group), bool)
    for top in range(0, m, rows):
        for left in range(0, mask.shape[1], group):
            columns = left + rng.permutation(group)[:4]
            for row in range(top, min(top + rows, m)):
                mask[row, rng.permutation(columns)[: rng.integers(0, keep + 1)]] = True
    return mask[:, :k].copy()


def make_mask(kind: str, m: int, k: int, seed: int) -> Mask:
    """A mask (m, k) of one of ``KINDS``."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((m, k), bool)
    if kind == "random":
        mask = rng.random((m, k)) < rng.choice([0.01, 0.05, 0.1, 0.5, 0.9])
    elif kind == "full":
        mask[:] = True
    elif kind == "nm":
        mask = group_mask(rng, m, k, *[(2, 4), (1, 4), (4, 8), (3, 5)][rng.integers(4)])
    elif kind == "vnm":
        mask = vector_mask(rng, m, k, *[(64, 2, 8), (4, 2, 8), (3, 1, 5), (1, 4, 4)][rng.integers(4)])
    elif kind == "block":
        mask = np.kron(rng.random((-(-m // 4), -(-k // 2))) < 0.3, np.ones((4, 2), bool))[:m, :k].copy()
    elif kind == "channel":
        mask[:, rng.random(k) < 0.4] = True
    elif kind == "filter":
        mask[rng.random(m) < 0.4] = True
    elif kind == "band":
        mask = np.abs(np.arange(m)[:, None] - np.arange(k)) <= 1
    elif kind == "corner":
        mask[-1, -1] = True
    return mask


def any_bits(shape: tuple[int, int], dtype: np.dtype[Any], seed: int) -> NDArray[Any]:
    """Weights of arbitrary bits: NaN payloads, infinities and both zeros among them."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).reshape(shape[0], -1)
    weights = raw.view(dtype).reshape(shape)
    special = np.array([0.0, 1.0], dtype)
    if dtype.kind not in "iu":
        special = np.array([0.0, -0.0, np.nan, -np.nan], dtype)
    return np.where(rng.random(shape) < 0.3, rng.choice(special, shape), weights)


def raw(values: NDArray[Any]) -> NDArray[Any]:
    """The bits of ``values``, for comparisons that see NaN payloads and signs of zero."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def conforms(format_: Any, mask: Mask) -> bool:
    """Whether ``format_`` should hold ``mask``; counted the slow way."""
    if format_.name not in ("nm", "vnm"):
        return True
    keep, group = format_.keep, format_.group
    m, k = mask.shape
    fits = all(mask[r, c : c + group].sum() <= keep for r in range(m) for c in range(0, k, group))
    if format_.name == "nm":
        return fits
    rows = format_.rows
    blocks = (mask[r : r + rows, c : c + group] for r in range(0, m, rows) for c in range(0, k, group))
    return fits and all(block.any(axis=0).sum() <= 4 for block in blocks)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """Masks of every kind, at awkward shapes."""
    m = draw(st.one_of(st.sampled_from([1, 4, 33, 64, 65]), st.integers(1, 20)))
    k = draw(st.one_of(st.sampled_from([1, 8, 32, 67]), st.integers(1, 40)))
    return make_mask(draw(st.sampled_from(KINDS)), m, k, draw(st.integers(0, 2**16)))
