"""Every closed form against a count in plain Python, straight from the definition of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import ceil, log2
from typing import Any

import numpy as np
import pytest
from format_cases import conforms, make_mask, masks
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsparse.formats import Footprint, make_format

Mask = NDArray[np.bool_]
Count = Callable[[Mask, int], tuple[int, int, int]]
ORACLES: dict[str, Count] = {}
V = 8


def oracle(text: str) -> Callable[[Count], Count]:
    def register(count: Count) -> Count:
        ORACLES[text] = count
        return count

    return register


def log(count: int) -> int:
    return max(1, ceil(log2(count)))


def cells(mask: Mask) -> list[tuple[int, int]]:
    return [(int(r), int(c)) for r, c in np.argwhere(mask)]


def blocks(mask: Mask, rows: int, columns: int) -> Iterator[Mask]:
    for r in range(0, mask.shape[0], rows):
        for c in range(0, mask.shape[1], columns):
            yield mask[r : r + rows, c : c + columns]


def runs(positions: list[int], bits: int) -> int:
    """Padding entries of zero runs, by writing the entries one at a time."""
    padding, cursor = 0, 0
    for position in positions:
        while position - cursor >= 2**bits:
            cursor += 2**bits
            padding += 1
        cursor = position + 1
    return padding


@oracle("dense")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, 0, (mask.size - nnz) * V


@oracle("coo")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, nnz * (log(mask.shape[0]) + log(mask.shape[1])), 0


@oracle("csr")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, nnz * log(mask.shape[1]) + (mask.shape[0] + 1) * log(nnz + 1), 0


@oracle("csr:index_bits=32:pointer_bits=16")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, nnz * 32 + (mask.shape[0] + 1) * 16, 0


@oracle("csc")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, nnz * log(mask.shape[0]) + (mask.shape[1] + 1) * log(nnz + 1), 0


@oracle("csc:banks=4:run_bits=2:pointer_bits=16")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    padding = 0
    for bank in range(4):
        for column in mask[bank::4].T:
            padding += runs([int(i) for i in np.flatnonzero(column)], 2)
    return nnz * V, nnz * 2 + 4 * (mask.shape[1] + 1) * 16, padding * (V + 2)


@oracle("bsr:3x2")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    kept = sum(bool(block.any()) for block in blocks(mask, 3, 2))
    rows, columns = ceil(mask.shape[0] / 3), ceil(mask.shape[1] / 2)
    return nnz * V, kept * log(columns) + (rows + 1) * log(kept + 1), (kept * 6 - nnz) * V


@oracle("ell")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    slots = mask.shape[0] * max(int(row.sum()) for row in mask)
    index = log(mask.shape[1])
    return nnz * V, nnz * index, (slots - nnz) * (V + index)


@oracle("sell:slice_rows=4:sigma=8")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    m, k = mask.shape
    lengths: list[int] = []
    for window in range(0, m, 8):
        lengths += sorted((int(row.sum()) for row in mask[window : window + 8]), reverse=True)
    slices = [lengths[i : i + 4] for i in range(0, m, 4)]
    slots = sum(4 * max(part) for part in slices)
    metadata = nnz * log(k) + (len(slices) + 1) * log(slots + 1) + m * log(m)
    return nnz * V, metadata, (slots - nnz) * (V + log(k))


@oracle("bitmask")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    return nnz * V, mask.size, 0


@oracle("hbitmask:block=32")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    parts = [mask.reshape(-1)[i : i + 32] for i in range(0, mask.size, 32)]
    used = [part for part in parts if part.any()]
    inside = sum(part.size for part in used)
    return nnz * V, len(parts) + inside, 32 * len(used) - inside


@oracle("rle4")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    padding = runs([r * mask.shape[1] + c for r, c in cells(mask)], 4)
    return nnz * V, nnz * 4, padding * (V + 4)


@oracle("rle5")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    padding = runs([r * mask.shape[1] + c for r, c in cells(mask)], 5)
    return nnz * V, nnz * 5, padding * (V + 5)


@oracle("delta")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    positions = [r * mask.shape[1] + c for r, c in cells(mask)]
    gaps = [b - a for a, b in pairwise(positions)]
    first = log(mask.size) if nnz else 0
    return nnz * V, first + len(gaps) * (ceil(log2(max(gaps))) if gaps else 0), 0


@oracle("nm:2:4")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    slots = mask.shape[0] * ceil(mask.shape[1] / 4) * 2
    return nnz * V, nnz * 2, (slots - nnz) * (V + 2)


@oracle("nm:3:5")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    slots = mask.shape[0] * ceil(mask.shape[1] / 5) * 3
    return nnz * V, nnz * 3, (slots - nnz) * (V + 3)


@oracle("vnm:4:2:8")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    parts = list(blocks(mask, 4, 8))
    used = sum(int(part.any(axis=0).sum()) for part in parts)
    slots = len(parts) * 4 * 2
    return nnz * V, used * 3 + nnz * 2, (4 * len(parts) - used) * 3 + (slots - nnz) * (V + 2)


@oracle("dia")
def _(mask: Mask, nnz: int) -> tuple[int, int, int]:
    m, k = mask.shape
    diagonals = len({c - r for r, c in cells(mask)})
    return nnz * V, diagonals * log(m + k - 1), (diagonals * min(m, k) - nnz) * V


@pytest.mark.parametrize("text", ORACLES)
@given(mask=masks())
@settings(max_examples=25)
def test_closed_form_equals_the_count_by_definition(text: str, mask: Any) -> None:
    format_ = make_format(text)
    if not conforms(format_, mask):
        return
    value_bits, metadata_bits, padding_bits = ORACLES[text](mask, int(mask.sum()))
    footprint = format_.footprint(mask, value_bits=V)
    got = (footprint.value_bits, footprint.metadata_bits, footprint.padding_bits)
    assert got == (value_bits, metadata_bits, padding_bits)
    assert footprint.total_bytes == ceil(sum(got) / 8)


@given(mask=masks(), value_bits=st.sampled_from([4, 6, 12, 16]))
@settings(max_examples=20)
def test_values_scale_with_their_width_and_metadata_does_not(mask: Any, value_bits: int) -> None:
    for text in ("csr", "bitmask", "bsr", "csc:banks=4:run_bits=4"):
        one, other = (make_format(text).footprint(mask, value_bits=bits) for bits in (1, value_bits))
        assert other.metadata_bits == one.metadata_bits
        assert other.total_bits - one.total_bits == (value_bits - 1) * one.stored_values


def test_footprints_add_up() -> None:
    part = Footprint(value_bits=1, metadata_bits=2, padding_bits=4, stored_values=1)
    assert part + part == Footprint(value_bits=2, metadata_bits=4, padding_bits=8, stored_values=2)
    assert (part.total_bits, part.total_bytes, (part + part).total_bytes) == (7, 1, 2)


def test_the_best_format_changes_with_sparsity_as_the_survey_says() -> None:
    """Dense below ~10 %, bitmap from there to ~70 %, run-length or delta codes above 80 %, for 8-bit values.

    Source: Hoefler et al., Sparsity in deep learning, JMLR 22, 2021, figure 5 (there for 1e8 elements).
    """
    order = np.random.default_rng(0).random((1024, 1024))
    names = ("dense", "bitmask", "rle4", "rle5", "delta", "coo", "csr", "csc")

    def best(sparsity: float) -> str:
        mask = order >= sparsity
        return min(names, key=lambda name: make_format(name).footprint(mask, value_bits=8).total_bits)

    assert [best(sparsity) for sparsity in (0.0, 0.05, 0.1)] == ["dense"] * 3
    assert [best(sparsity) for sparsity in (0.15, 0.3, 0.5, 0.7)] == ["bitmask"] * 4
    assert {best(sparsity) for sparsity in (0.82, 0.85, 0.9, 0.95)} <= {"rle4", "rle5", "delta"}
    assert best(0.999) in ("coo", "csr", "csc", "delta")


def test_diagonals_explode_for_random_masks_and_suit_bands() -> None:
    dia, dense = make_format("dia"), make_format("dense")

    def ratio(mask: Mask) -> float:
        return dia.footprint(mask, value_bits=8).total_bits / dense.footprint(mask, value_bits=8).total_bits

    assert ratio(make_mask("random", 64, 64, seed=2)) > 1.0
    assert ratio(make_mask("band", 64, 64, seed=0)) < 0.1
