"""Goals: which cells they name, and how values are marked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.cases import Case, conv_case, grid
from benchmarks.goals import OURS, Goal, Result, Verdict, summarise, thread_verdicts, verdicts
from simsparse.measure.timing import Timing

SLOWER = {"scipy": 5.0, "mkl-csr": 4.0, "torch-csr": 3.0, "numpy": 2.5, "torch": 2.0}
GROUPS = {
    OURS: OURS,
    "scipy": "scipy",
    "mkl-csr": "sparse",
    "torch-csr": "sparse",
    "numpy": "dense",
    "torch": "dense",
}


def timing(time_s: float, *, gated: bool = True) -> Timing:
    return Timing(time_s=time_s, least_s=time_s, windows=9, kept=9, gated=gated)


def result(
    case: Case, *, threads: int = 1, time_s: float = 1e-3, slower: Mapping[str, float] = SLOWER
) -> Result:
    times = {OURS: timing(time_s), **{name: timing(time_s * factor) for name, factor in slower.items()}}
    return Result(
        case=case,
        threads=threads,
        nnz=case.m * case.k // 2,
        stored_bytes=1e6,
        kernel="csr",
        packing_s=0.0,
        times=times,
        groups=GROUPS,
    )


def case(pattern: str, sparsity: float, n: int = 128) -> Case:
    return Case(m=1024, k=1024, n=n, pattern=pattern, sparsity=sparsity)


@pytest.mark.parametrize(
    ("value", "mark"),
    [(1.99, "short"), (2.0, "floor met"), (4.9, "floor met"), (5.0, "aim met"), (90, "aim met")],
)
def test_marks_of_a_ratio(value: float, mark: str) -> None:
    assert Goal(title="t", floor=2.0, aim=5.0).mark(value) == mark


@pytest.mark.parametrize(("value", "mark"), [(0.1, "aim met"), (0.3, "floor met"), (0.6, "short")])
def test_marks_of_seconds_run_the_other_way(value: float, mark: str) -> None:
    assert Goal(title="t", floor=0.5, aim=0.2, unit="s").mark(value) == mark


@pytest.mark.parametrize("pattern", ["random", "skewed"])
@pytest.mark.parametrize(
    ("sparsity", "expected"),
    [
        (0.5, {(3.0, 5.0): 5.0, (3.0, 4.3): 3.0, (1.25, 2.0): 2.0}),
        (0.75, {(3.0, 5.0): 5.0, (3.0, 4.3): 3.0, (1.9, 3.0): 2.0}),
        (0.9, {(2.0, 5.0): 5.0, (1.8, 4.3): 3.0, (3.8, 5.7): 2.0}),
        (0.95, {(2.0, 5.0): 5.0, (1.8, 4.3): 3.0, (5.9, 10.0): 2.0}),
        (0.98, {(2.0, 5.0): 5.0, (1.8, 4.3): 3.0, (12.0, 23.0): 2.0}),
    ],
)
def test_spmm_is_held_against_the_best_of_each_group(
    pattern: str, sparsity: float, expected: dict[tuple[float, float], float]
) -> None:
    found = {(v.goal.floor, v.goal.aim): v.value for v in verdicts(result(case(pattern, sparsity)), 1e11)}
    assert found == {bounds: pytest.approx(value) for bounds, value in expected.items()}


@pytest.mark.parametrize(
    ("made", "bounds", "value"),
    [
        (case("2:4", 0.5), (1.5, 1.9), 2.0),
        (case("random", 0.5, n=1), (1.3, 1.7), 2.0),
        (case("skewed", 0.5, n=1), (1.3, 1.7), 2.0),
        (case("2:4", 0.5, n=1), (1.35, 1.7), 2.0),
        (case("random", 0.98, n=1), (1.0, 1.3), 3.0),
        (conv_case(64, 64, 14, 3, 2, "skewed", 0.9), (3.0, 4.5), 2.0),
    ],
)
def test_other_goals_name_their_peers(made: Case, bounds: tuple[float, float], value: float) -> None:
    (found,) = verdicts(result(made), 1e11)
    assert (found.goal.floor, found.goal.aim) == bounds
    assert found.value == pytest.approx(value)


def test_blocks_are_held_against_the_fma_peak() -> None:
    made = result(case("4x1", 0.5))
    (found,) = verdicts(made, 2 * made.flops / made.time_s)
    assert found.value == pytest.approx(0.5)
    assert (found.goal.unit, found.mark) == ("share", "short")


def test_no_goal_without_its_peer_and_none_on_two_threads() -> None:
    alone = result(case("random", 0.5), slower={"scipy": 4.0})
    assert [v.value for v in verdicts(alone, 1e11)] == [pytest.approx(4.0)]
    assert not list(verdicts(result(case("random", 0.5), threads=2), 1e11))
    assert not list(verdicts(result(case("random", 0.75, n=1)), 1e11))


def test_a_time_that_was_not_gated_gets_no_mark() -> None:
    made = result(case("2:4", 0.5))
    noisy = dict(made.times) | {"torch": timing(made.times["torch"].time_s, gated=False)}
    (found,) = verdicts(
        Result(
            case=made.case,
            threads=1,
            nnz=made.nnz,
            stored_bytes=1.0,
            kernel="csr",
            packing_s=0.0,
            times=noisy,
            groups=GROUPS,
        ),
        1e11,
    )
    assert found.mark == "not gated"


def test_our_wrong_product_has_no_time_and_is_short_everywhere() -> None:
    made = result(case("random", 0.5))
    times = {name: value for name, value in made.times.items() if name != OURS}
    wrong = Result(
        case=made.case,
        threads=1,
        nnz=1,
        stored_bytes=1.0,
        kernel="csr",
        packing_s=0.0,
        times=times,
        groups=GROUPS,
        wrong=(OURS,),
    )
    assert {v.mark for v in verdicts(wrong, 1e11)} == {"short"}
    assert summarise(verdicts(wrong, 1e11))[0].marks["short"] == 1


def test_two_threads_count_where_there_is_work() -> None:
    long, brief = case("random", 0.5), case("random", 0.98)
    every = [
        result(long, time_s=2e-3),
        result(long, threads=2, time_s=1e-3),
        result(brief, time_s=0.4e-3),
        result(brief, threads=2, time_s=0.4e-3),
    ]
    (found,) = thread_verdicts(every)
    assert (found.value, found.mark) == (pytest.approx(2.0), "aim met")


def test_a_summary_counts_marks_and_names_the_worst_cell() -> None:
    ratio, wait = Goal(title="r", floor=2.0, aim=4.0), Goal(title="s", floor=0.5, aim=0.2, unit="s")
    cells = [Verdict(goal=ratio, cell=f"c{value}", value=value) for value in (1.0, 2.0, 4.0)]
    waits = [Verdict(goal=wait, cell=f"c{value}", value=value) for value in (0.1, 0.4)]
    first, second = summarise([cells[0], *waits, *cells[1:]])
    assert (first.cells, first.typical, first.worst.cell) == (3, pytest.approx(2.0), "c1.0")
    assert first.marks == {"aim met": 1, "floor met": 1, "short": 1, "not gated": 0}
    assert second.worst.cell == "c0.4"


def test_every_goal_has_a_cell_in_the_grid() -> None:
    titles = {v.goal.title for made in grid(quick=False) for v in verdicts(result(made), 1e11)}
    assert len(titles) == 15
