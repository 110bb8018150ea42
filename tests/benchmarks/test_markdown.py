"""Tables for the README, from times made by hand."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import markdown, packing
from benchmarks.goals import verdicts
from simsparse.formats import format_names
from tests.benchmarks.test_kernels import LIMITS, made


def test_goals_speeds_and_short_cells_make_tables() -> None:
    first = made(scipy=11e-3, mkl_csr=3e-3, numpy=8e-3)
    second = replace(made(1e-3, scipy=11e-3, numpy=18e-3), case=replace(first.case, m=2000))
    every = [verdict for result in (first, second) for verdict in verdicts(result, LIMITS.fma_flops)]
    lines = markdown.summary([first, second], every, LIMITS, []).splitlines()
    assert lines[0].startswith("| goal | floor | aim | typical | worst | aim met |")
    assert lines[1] == "|---|---|---|---|---|---|---|---|---|"
    assert lines[2] == "| SpMM vs scipy CSR, from 0.9 | 2 | 5 | 7.78 | 5.50 | 2 | 0 | 0 | 0 |"
    assert (
        "| spmm | random | 0.9 | grouped | 7.78 (5.50) | 1.50 (1.50) | - | 8.49 (4.00) | 0.71 (0.50) |"
    ) in lines
    assert lines[-1] == (
        "- SpMM vs best of MKL and torch CSR, from 0.9: 1000x1000x500 random 0.9: 1.50 of 1.8"
    )


def test_a_result_of_two_threads_is_left_out_of_the_speeds() -> None:
    two = replace(made(scipy=8e-3), threads=2)
    assert markdown.summary([two], [], LIMITS, []).count("| spmm |") == 0


def test_every_format_is_packed(monkeypatch) -> None:
    monkeypatch.setattr(packing, "SIDE", 128)
    every = list(packing.packings(repeats=1))
    assert [found.format for found in every] == list(format_names())
    assert all(found.products > 0 for found in every)
    converted = {found.format for found in every if found.packed_from is not None}
    assert {"coo", "csc", "ell", "sell", "rle4", "delta", "dia"} <= converted
    assert converted.isdisjoint({"dense", "csr"})
    lines = markdown.packing_table(every).splitlines()
    assert len(lines) == 2 + len(every)
    assert lines[2].startswith("| dense | random 0.9 | dense | - |")
