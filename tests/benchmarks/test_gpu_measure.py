"""The GPU benchmark without a GPU: its grid, a point that runs, one that is refused, and the file."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import gpu_measure, held_out

POINT = gpu_measure.Point(kernel="dense", m=8, k=8, n=1, dtype="float32")


def test_the_grid_has_every_kernel_decode_shapes_and_whole_blocks() -> None:
    grid = list(gpu_measure.points())
    assert {point.kernel for point in grid} == {"dense", "2:4 cusparselt", "2:4 cutlass", "csr", "bsr"}
    assert {1, 8, 16} <= {point.n for point in grid}
    assert all(point.m % (point.block or 1) == point.k % (point.block or 1) == 0 for point in grid)
    assert len(set(grid)) == len(grid)
    assert len(list(gpu_measure.points(small=True))) < 50


def test_a_point_is_timed_or_says_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_measure, "operation", lambda *_: lambda: sum(range(200)))
    monkeypatch.setattr(gpu_measure, "_ROUND_S", 1e-4)
    board = gpu_measure.Board("cpu")
    ran = gpu_measure.measured(SimpleNamespace(), POINT, "cpu", board)
    assert ran.time_us is not None
    assert ran.time_us > 0

    def refuse(*_: object) -> None:
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(gpu_measure, "operation", refuse)
    refused = gpu_measure.measured(SimpleNamespace(), POINT, "cpu", board)
    assert (refused.time_us, refused.failed) == (None, "no such kernel")
    gpu_measure.write([ran, refused], tmp_path / "data" / "x.csv")
    with (tmp_path / "data" / "x.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["failed"] for row in rows] == ["", "no such kernel"]
    assert float(rows[0]["time_us"]) == ran.time_us


def test_without_torch_or_a_gpu_it_says_so() -> None:
    with pytest.raises(SystemExit, match=r"expected (torch|a CUDA GPU), got none"):
        gpu_measure.main(["--out", "nowhere.csv"])


def test_a_held_out_shape_never_chooses_its_own_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of M = 1 fit at 1.1 exactly, the others at .9: held out, each gets the other's constant."""
    rows = [({"M": m, "K": "1", "N": "1"}, 1.1 if m == "1" else 0.9) for m in "1122"]
    monkeypatch.setattr(held_out, "rows_of", lambda _: rows)
    monkeypatch.setattr(held_out, "time_s", lambda _library, _row, factor: factor)
    seen, by_weight, by_half = held_out.held_out("Sputnik")
    for out in (by_weight, by_half):
        assert out == pytest.approx([1 - 0.9 / 1.1] * 2 + [1.1 / 0.9 - 1] * 2)
        assert (seen < out).all()
