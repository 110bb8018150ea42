"""Single matrices from text, against scipy's readers and writers."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model_files import MTX, smtx_text

from simsparse.errors import FileError, UsageError
from simsparse.load.catalog import load_model
from simsparse.load.files.mtx_file import parse_mtx
from simsparse.load.files.smtx_file import parse_smtx
from simsparse.simulate import simulate

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
VALUES = st.sampled_from([0.0, 0.0, 1.0, -2.5, 1e-3])


@given(hnp.arrays(np.bool_, SHAPES))
@settings(max_examples=60, deadline=None)
def test_smtx_is_the_mask(mask: Any) -> None:
    matrix = parse_smtx(smtx_text(mask), "m.smtx")
    assert np.array_equal(matrix.nonzero(), mask)
    assert np.array_equal(matrix.values(), mask.astype(np.float32))


@given(
    dense=hnp.arrays(np.float64, SHAPES, elements=VALUES),
    layout=st.sampled_from(["coordinate", "array"]),
    field=st.sampled_from(["real", "integer", "pattern"]),
    symmetry=st.sampled_from(["general", "symmetric", "skew-symmetric"]),
)
@settings(max_examples=150, deadline=None)
def test_mtx_is_what_scipy_reads(dense: Any, layout: str, field: str, symmetry: str) -> None:
    if layout == "array" and field == "pattern":
        return
    dense = np.round(dense) if field == "integer" else dense
    if symmetry != "general":
        size = min(dense.shape)
        half = np.tril(dense[:size, :size], -1 if symmetry != "symmetric" else 0)
        dense = half + (half - np.diag(np.diag(half))).T * (1 if symmetry == "symmetric" else -1)
    if symmetry == "skew-symmetric" and field == "pattern":
        return
    written = io.BytesIO()
    what = scipy.sparse.coo_array(dense) if layout == "coordinate" else dense
    scipy.io.mmwrite(written, what, field=field, symmetry=symmetry, comment="two\nlines")
    written.seek(0)
    expected = scipy.io.mmread(written)
    expected = expected if layout == "array" else expected.toarray()
    matrix = parse_mtx(written.getvalue().decode(), "m.mtx")
    assert np.allclose(matrix.values(), expected, rtol=1e-6, atol=0)
    assert np.array_equal(matrix.nonzero(), expected != 0)


def test_entries_at_one_place_add_up() -> None:
    text = "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 2\n1 1 -2\n2 2 1\n"
    assert np.array_equal(parse_mtx(text, "m").nonzero(), [[False, False], [False, True]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m.smtx:1: expected rows, columns, entries, got"),
        ("a b c", "m.smtx:1: expected rows, columns, entries"),
        ("2, 2, -1\n", "expected rows, columns, entries"),
        ("0, 2, 0\n0\n\n", "expected a matrix of 1 to 268,435,456 positions, got 0 x 2"),
        ("1000000000, 1000000000, 1\n0\n0\n", "positions, got 1000000000 x 1000000000 (split it)"),
        ("2, 2, 5\n0 2 5\n0 1 0 1 1\n", "expected at most 4 entries, got 5"),
        ("2, 2, 1\n0 1\n0\n", "m.smtx:2: expected 3 row offsets from 0 to 1 that do not decrease"),
        ("2, 2, 1\n0 2 1\n0\n", "m.smtx:2: expected 3 row offsets"),
        ("2, 2, 1\n0 1 1\n2\n", "m.smtx:3: expected 1 column indices from 0 to 1, got others"),
        ("2, 2, 1\n0 1 1\n-1\n", "m.smtx:3: expected 1 column indices"),
        ("2, 2, 1\n0 1 1\n99999999999999999999\n", "m.smtx:3: expected"),
        ("2, 2, 1\n0 1 x\n0\n", "m.smtx:2: expected row offsets, got something else among them"),
        ("2, 2, 1\n0 1 1\n0\n0\n", "expected three lines, got 4"),
        ("2, 2, 1\n", "expected three lines, got 1"),
    ],
)
def test_smtx_that_contradicts_itself(text: str, message: str) -> None:
    with pytest.raises(FileError) as raised:
        parse_smtx(text, "m.smtx")
    assert message in str(raised.value)


BANNER = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "m.mtx:1: expected %%MatrixMarket matrix coordinate|array"),
        (
            "%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 0 0",
            "m.mtx:1: expected %%MatrixMarket",
        ),
        ("%%MatrixMarket matrix array pattern general\n1 1\n1", "m.mtx:1: expected"),
        (BANNER, "expected a line of sizes, got none"),
        (BANNER + "% only\n% comments\n", "expected a line of sizes, got none"),
        (BANNER + "3 3\n", "expected the sizes rows columns entries, got 2 numbers"),
        (BANNER + "3 x 3\n", 'expected a line of sizes, got "3 x 3"'),
        (BANNER + "900000000 900000000 1\n1 1 1\n", "positions, got 900000000 x 900000000"),
        (BANNER + "2 2 1\n3 1 1\n", "expected positions from 1 1 to 2 2, got others"),
        (BANNER + "2 2 1\n0 1 1\n", "expected positions from 1 1"),
        (BANNER + "2 2 1\n1.5 1 1\n", "expected positions from 1 1"),
        (BANNER + "2 2 1\n1e300 1 1\n", "expected positions from 1 1"),
        (BANNER + "2 2 1\n1 1 nan\n", "expected finite numbers"),
        (BANNER + "2 2 2\n1 1 1\n", "expected 2 entries of 3 numbers, got 3 numbers"),
        (BANNER + "2 2 1\n1 1 one\n", "expected numbers, got something else"),
        (
            BANNER.replace("general", "symmetric") + "2 3 1\n1 1 1\n",
            "expected a square matrix with symmetry, got 2 x 3",
        ),
        ("%%MatrixMarket matrix array real general\n2 2\n1 2 3\n", "expected 4 numbers, got 3"),
    ],
)
def test_mtx_that_contradicts_itself(text: str, message: str) -> None:
    with pytest.raises(FileError) as raised:
        parse_mtx(text, "m.mtx")
    assert message in str(raised.value)


def test_a_file_becomes_a_layer(tmp_path: Path) -> None:
    (tmp_path / "a.mtx").write_text(MTX, "utf-8")
    (tmp_path / "b.smtx").write_text(smtx_text(np.eye(4, 6, dtype=bool)), "utf-8")
    workload = load_model(tmp_path / "a.mtx", columns=7)
    assert [(layer.name, layer.m, layer.k, layer.n) for layer in workload.layers] == [("a", 3, 4, 7)]
    assert workload.weights["a"][1, 2] == -1
    assumed = load_model(tmp_path / "b.smtx")
    assert assumed.layers[0].n == 128
    assert assumed.notes == ("X is taken to have 128 columns (--columns sets it)",)
    with pytest.raises(UsageError, match="batch: expected a model with a batch, got a DLMC matrix"):
        load_model(tmp_path / "b.smtx", batch=2)
    with pytest.raises(UsageError, match="columns: expected a whole number >= 1, got 0"):
        load_model(tmp_path / "b.smtx", columns=0)


def test_a_pruned_matrix_is_faster_than_a_dense_one(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((128, 128)) < 0.05
    path = tmp_path / "layer.smtx"
    path.write_text(smtx_text(mask), "utf-8")
    run = simulate(str(path), on="eie", columns=16)
    assert run.layers[0].n == 16
    assert run.layers[0].weight_density == mask.mean()
    assert run.pattern.startswith("unstructured:0.9")
    assert run.speedup > 1.5


def test_a_large_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.smtx"
    path.write_text("16384, 16384, 0\n" + "0 " * 16385 + "\n\n", "utf-8")
    tracemalloc.start()
    workload = load_model(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert workload.layers[0].macs == 2**28 * 128
    assert peak < 8 * 2**20
