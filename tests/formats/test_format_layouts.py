"""The stored arrays themselves: small examples written by hand, and the arrays of SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from format_cases import FORMATS, any_bits, conforms, make_mask, masks
from hypothesis import given, settings

from simsparse.formats import Encoded, SparseFormat, encode, make_format


def rows(*values: list[int]) -> np.ndarray[Any, Any]:
    return np.array(values, np.int8)


def lists(encoded: Encoded) -> dict[str, Any]:
    return {name: field.data.tolist() for name, field in encoded.fields.items()}


def test_run_lengths_of_the_eyeriss_paper() -> None:
    """Source: Chen et al., Eyeriss, IEEE JSSC 52(1), 2017, figure on RLC."""
    encoded = encode(rows([0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22]), "rle5")
    assert lists(encoded) == {"runs": [2, 4, 2], "values": [12, 53, 22]}


@pytest.mark.parametrize(
    ("zeros", "runs", "values"),
    [(15, [15], [7]), (16, [15, 0], [0, 7]), (31, [15, 15], [0, 7]), (40, [15, 15, 8], [0, 0, 7])],
)
def test_a_long_run_takes_padding_entries(zeros: int, runs: list[int], values: list[int]) -> None:
    encoded = encode(rows([0] * zeros + [7] + [0] * 50), "rle4")
    assert lists(encoded) == {"runs": runs, "values": values}
    assert encoded.footprint.padding_bits == (len(runs) - 1) * 12


def test_runs_cross_rows() -> None:
    assert lists(encode(rows([0, 1, 0], [0, 0, 2]), "rle4")) == {"runs": [1, 3], "values": [1, 2]}


def test_eie_storage() -> None:
    """Row o lies in bank o % banks; inside it a kept weight after z zeros costs 1 + z // 16 entries."""
    weights = np.zeros((40, 2), np.int8)
    weights[[0, 1, 2, 34, 37], [0, 0, 1, 0, 1]] = [1, 2, 3, 4, 5]
    encoded = encode(weights, "csc:banks=2:run_bits=4")
    # bank 0: column 0 holds local rows 0 and 17 (16 zeros between: one padding entry), column 1 local row 1
    # bank 1: column 0 holds local row 0, column 1 local row 18 (18 zeros before: one padding entry)
    assert lists(encoded) == {
        "pointers": [[0, 3, 4], [0, 1, 3]],
        "indices": [0, 15, 0, 1, 0, 15, 2],
        "values": [1, 0, 4, 3, 2, 0, 5],
    }
    assert encoded.footprint.padding_bits == 2 * 12


def test_delta() -> None:
    encoded = encode(rows([0, 0, 1, 2, 0, 0, 0, 3]), "delta")
    assert lists(encoded) == {"first": [2], "deltas": [0, 3], "values": [1, 2, 3]}
    assert encoded.fields["deltas"].bits == 2


def test_two_of_four_positions_rise_and_padding_takes_free_ones() -> None:
    encoded = encode(rows([0, 1, 0, 2, 0, 0, 3, 0, 4]), "nm")
    assert lists(encoded) == {
        "positions": [[[1, 3], [0, 2], [0, 1]]],
        "values": [[[1, 2], [0, 3], [4, 0]]],
    }


def test_vector_columns_are_shared_by_the_rows_of_a_block() -> None:
    weights = rows([0, 1, 0, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 3, 0, 4], [5, 0, 0, 0, 0, 0, 0, 0])
    assert lists(encode(weights, "vnm:2:2:8")) == {
        "columns": [[[0, 1, 5, 7]], [[0, 1, 2, 3]]],
        "places": [[[1, 2]], [[2, 3]], [[0, 1]], [[0, 1]]],
        "values": [[[1, 2]], [[3, 4]], [[5, 0]], [[0, 0]]],
    }


def test_blocks_cut_by_the_edge_are_filled_up() -> None:
    encoded = encode(rows([0, 0, 1], [0, 0, 2], [3, 0, 0]), "bsr:2x2")
    assert lists(encoded) == {
        "pointers": [0, 1, 2],
        "columns": [1, 0],
        "values": [[[1, 0], [2, 0]], [[3, 0], [0, 0]]],
    }


def test_slices_sort_rows_by_length_inside_a_window() -> None:
    encoded = encode(rows([1, 0], [2, 3], [0, 0], [0, 4]), "sell:slice_rows=2:sigma=4")
    assert lists(encoded) == {
        "pointers": [0, 4, 6],
        "columns": [0, 0, 1, 0, 1, 0],
        "values": [2, 1, 3, 0, 4, 0],
        "rows": [1, 0, 3, 2],
    }


def test_two_levels_of_mask() -> None:
    encoded = encode(rows([0, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3]), "hbitmask:block=5")
    assert lists(encoded) == {
        "blocks": [0, 1, 1],
        "mask": [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]],
        "values": [1, 2, 3],
    }


def test_diagonals_are_stored_in_full() -> None:
    encoded = encode(rows([1, 0, 2], [0, 3, 0]), "dia")
    assert lists(encoded) == {"offsets": [1, 3], "values": [[1, 3], [2, 0]]}


@given(mask=masks())
@settings(max_examples=25)
def test_the_arrays_of_scipy(mask: Any) -> None:
    weights = np.arange(1, mask.size + 1, dtype=np.float32).reshape(mask.shape)
    kept = np.where(mask, weights, 0)
    csr, csc, coo, dia = sp.csr_array(kept), sp.csc_array(kept), sp.coo_array(kept), sp.dia_array(kept)
    ours = {
        name: make_format(name).encode(weights, mask).fields
        for name in ("csr", "csc", "coo", "dia", "bsr:3x5")
    }
    for name, theirs, index in (("csr", csr, "columns"), ("csc", csc, "indices")):
        np.testing.assert_array_equal(ours[name]["pointers"].data.reshape(-1), theirs.indptr)
        np.testing.assert_array_equal(ours[name][index].data, theirs.indices)
        np.testing.assert_array_equal(ours[name]["values"].data, theirs.data)
    np.testing.assert_array_equal(ours["coo"]["rows"].data, coo.coords[0])
    np.testing.assert_array_equal(ours["coo"]["columns"].data, coo.coords[1])
    np.testing.assert_array_equal(
        ours["dia"]["offsets"].data.astype(int) - (mask.shape[0] - 1), np.sort(dia.offsets)
    )
    padded = np.pad(kept, [(0, -mask.shape[0] % 3), (0, -mask.shape[1] % 5)])
    bsr = sp.csr_array(padded).tobsr((3, 5))
    bsr.sort_indices()
    np.testing.assert_array_equal(ours["bsr:3x5"]["pointers"].data, bsr.indptr)
    np.testing.assert_array_equal(ours["bsr:3x5"]["columns"].data, bsr.indices)
    np.testing.assert_array_equal(ours["bsr:3x5"]["values"].data, bsr.data)


@pytest.mark.parametrize("format_", FORMATS, ids=str)
@pytest.mark.parametrize("kind", ["nm", "random", "corner"])
def test_packed_bytes_hold_every_element_in_its_bits(format_: SparseFormat, kind: str) -> None:
    mask = make_mask(kind, 13, 21, seed=7)
    if not conforms(format_, mask):
        mask &= False
    encoded = format_.encode(any_bits(mask.shape, np.dtype(np.float16), 1), mask)
    stream = int.from_bytes(encoded.pack(), "little")
    for field in encoded.fields.values():
        for element in field.data.reshape(-1).view(f"u{field.data.dtype.itemsize}").tolist():
            assert stream & ((1 << field.bits) - 1) == element
            stream >>= field.bits
    assert stream == 0


@pytest.mark.parametrize("format_", FORMATS, ids=str)
def test_an_element_has_the_smallest_comfortable_dtype(format_: SparseFormat) -> None:
    mask = np.zeros((40, 40), bool)
    for field in format_.encode(np.ones((40, 40), np.int8), mask).fields.values():
        assert field.bits <= 8 * field.data.dtype.itemsize < max(16, 2 * field.bits)
