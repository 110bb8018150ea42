"""What the benchmark prints and writes, from times made by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import kernels
from benchmarks.cases import Case
from benchmarks.goals import OURS, Result, verdicts
from simsparse.measure.host_limits import Limits
from simsparse.measure.timing import Timing

LIMITS = Limits(threads=1, fma_flops=100e9, footprint_bytes=(1000, 10**8), read_bytes_per_s=(100e9, 10e9))
CASE = Case(m=1000, k=1000, n=500, pattern="random", sparsity=0.9)


def timing(time_s: float, *, gated: bool = True) -> Timing:
    return Timing(time_s=time_s, least_s=time_s, windows=10, kept=6, gated=gated)


def made(time_s: float = 2e-3, **others: float) -> Result:
    groups = {OURS: OURS, "scipy": "scipy", "mkl-csr": "sparse", "torch-csr": "sparse", "numpy": "dense"}
    times = {name.replace("_", "-"): timing(value) for name, value in {OURS: time_s, **others}.items()}
    return Result(
        case=CASE,
        threads=1,
        nnz=100_000,
        stored_bytes=8e5,
        kernel="grouped",
        packing_s=0.01,
        times=times,
        groups=groups,
    )


def test_a_line_holds_ratios_to_the_best_and_shares_of_the_limits() -> None:
    result = made(scipy=8e-3, mkl_csr=7e-3, torch_csr=6e-3, numpy=10e-3)
    words = kernels.line(result, LIMITS, cold=False).split()
    assert words[:5] == ["1000x1000x500", "random", "0.90", "1", "grouped"]
    assert words[5:] == [
        "2000us",
        "50.0",
        "4.00x",
        "3.00x",
        "torch-csr",
        "-",
        "5.00x",
        "numpy",
        "50%",
        *words[-1:],
    ]
    moved = 8e5 + 4 * 500 * 2000
    cold = kernels.line(result, LIMITS, cold=True).split()[-1]
    assert cold == f"{moved / 2e-3 / 10e9:.0%}"
    assert words[-1] == f"{moved / 2e-3 / LIMITS.read_rate(moved):.0%}"


def test_times_that_were_not_gated_carry_a_question_mark() -> None:
    result = made(scipy=8e-3, numpy=4e-3)
    shaky = replace(result, times={**result.times, "scipy": timing(8e-3, gated=False)})
    assert "4.00? " in kernels.line(shaky, LIMITS, cold=False)
    shaky = replace(result, times={**result.times, OURS: timing(2e-3, gated=False)})
    assert "2000us?" in kernels.line(shaky, LIMITS, cold=False)


def test_passes_merge_name_by_name_and_keep_what_was_wrong() -> None:
    first, second = made(2e-3, scipy=8e-3, numpy=9e-3), made(1e-3, scipy=9e-3)
    merged = kernels.merge([first, replace(second, wrong=("numpy",))])
    assert {name: value.time_s for name, value in merged.times.items()} == {OURS: 1e-3, "scipy": 8e-3}
    assert merged.wrong == ("numpy",)
    assert merged.times[OURS].spread == pytest.approx(1.0)


def test_goals_are_counted_and_short_cells_named(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.print_goals(verdicts(made(scipy=11e-3, mkl_csr=3e-3, numpy=8e-3), LIMITS.fma_flops))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("5.50    5.50  1 / 0 / 0 / 0")
    assert lines[3].endswith("1.50    1.50  0 / 0 / 1 / 0")
    assert lines[4].endswith("4.00    4.00  0 / 1 / 0 / 0")
    assert lines[5:] == [
        "short: SpMM vs best of MKL and torch CSR, from 0.9: 1000x1000x500 random 0.9: 1.50 of 1.8"
    ]


def test_noise_says_the_share_of_windows_kept(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.print_noise(made(scipy=8e-3).times.values(), 1)
    assert "2 times, one pass, so it is not known; the gate kept 60% of the windows; 0 times" in (
        capsys.readouterr().out
    )


def test_csv_has_a_row_for_everyone(tmp_path: Path) -> None:
    options = kernels.parse(["--cold", "--csv", str(tmp_path / "times.csv")])
    kernels.write_csv(tmp_path / "times.csv", [made(scipy=8e-3, numpy=9e-3)], {1: LIMITS}, options)
    rows = list(csv.DictReader((tmp_path / "times.csv").read_text().splitlines()))
    assert [row["competitor"] for row in rows] == [OURS, "scipy", "numpy"]
    assert {row["cache"] for row in rows} == {"cold"}
    assert [float(row["times_ours"]) for row in rows] == pytest.approx([1, 4, 4.5])
    assert "SpMM vs best dense, 0.9: floor met" in rows[0]["goals"]
    assert rows[1]["goals"] == ""


def test_quick_is_one_thread_and_one_pass_unless_told() -> None:
    quick, asked = kernels.parse(["--quick"]), kernels.parse(["--quick", "--threads", "2", "--passes", "3"])
    assert (quick.threads, quick.passes) == ((1,), 1)
    assert (asked.threads, asked.passes) == ((2,), 3)


def test_cold_spares_small_layers() -> None:
    options = kernels.parse(["--cold"])
    assert options.cold_case(CASE)
    assert not options.cold_case(replace(CASE, m=100, k=100))
    assert not kernels.parse([]).cold_case(CASE)
