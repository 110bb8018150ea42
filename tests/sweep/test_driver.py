"""Driving: any executor, any order, deaths of workers and of the driver; the results are the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from simsparse.errors import UsageError
from simsparse.sweep.chunk import Chunk, run_chunk
from simsparse.sweep.driver import drive
from simsparse.sweep.executors import Here, InPlace, Pool, workers
from simsparse.sweep.figures import DIED, OK, Row
from tests.sweep.small import content, study

KILLS = int(os.environ.get("SIMSPARSE_TEST_KILLS", "1"))
ROOT = Path(__file__).parents[2]
STUDY = """
import sys
from pathlib import Path
from tests.sweep.small import study
if __name__ == "__main__":
    study(folder=Path(sys.argv[1]), executor=sys.argv[2], jobs=2, crossover=True, seed=[0, 1, 2, 3],
          prune=["unstructured:0.5:0.9:4", "2:4"], models=["gemm:256,256,64", "gemm:96,48,16"])
"""


class Lazy(Executor):
    """Runs a call when its result is waited for, the last submitted first: another order than asked."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.insert(0, lambda: future.set_result(fn(*args, **kwargs)))
        if len(self._waiting) > 2 or len(args[0].points) == 1:
            self.flush()
        return future

    def flush(self) -> None:
        """Run what waits."""
        while self._waiting:
            self._waiting.pop(0)()


class Mortal:
    """Workers that die when they get a given point, and after a given number of chunks."""

    count = 2

    def __init__(self, deadly: str = "", lives: int = 10**9) -> None:
        self.deadly, self.lives, self.started = deadly, lives, 0

    def start(self) -> Executor:
        """A fresh executor."""
        self.started += 1
        return _Dying(self)

    def stop(self, executor: Executor) -> None:
        """Nothing is left."""

    def close(self) -> None:
        """Nothing to let go of."""


class _Dying(InPlace):
    def __init__(self, owner: Mortal) -> None:
        self._owner, self._dead = owner, False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._dead:
            raise BrokenProcessPool("dead")
        self._owner.lives -= 1
        if self._owner.lives == 0 or any(key == self._owner.deadly for key, _ in args[0].points):
            self._dead = True
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("died"))
            return future
        return super().submit(fn, *args, **kwargs)


def points(count: int) -> list[Chunk]:
    from simsparse.load.study_spec import StudySpec
    from simsparse.sweep.keys import Keys, model_digest
    from simsparse.sweep.points import expand

    grid = expand(
        StudySpec(models=("gemm:16,16,8",), on=("tpu-like",), prune=("2:4",), seed=tuple(range(count)))
    )
    keys = Keys(grid)
    keyed = [(keys.key(point), point) for point in grid.points]
    digests = {name: model_digest(workload) for name, workload in grid.models.items()}
    return [
        Chunk(points=tuple(keyed[i : i + 3]), machines=grid.machines, digests=digests)
        for i in range(0, count, 3)
    ]


def test_every_chunk_is_delivered_once() -> None:
    parts = points(12)
    got: list[Row] = []
    drive(parts, Here(), got.extend)
    assert sorted(row.key for row in got) == sorted(key for part in parts for key, _ in part.points)


@pytest.mark.parametrize("lives", [1, 2, 3, 4])
def test_a_worker_that_dies_once_costs_nothing(lives: int) -> None:
    parts = points(12)
    got: list[Row] = []
    workers_ = Mortal(lives=lives)
    drive(parts, workers_, got.extend)
    assert sorted(row.key for row in got) == sorted(key for part in parts for key, _ in part.points)
    assert all(row.status == OK for row in got)
    assert workers_.started == 2


def test_a_point_that_kills_its_worker_is_found_and_blamed_alone() -> None:
    parts = points(12)
    deadly = parts[1].points[2][0]
    got: list[Row] = []
    drive(parts, Mortal(deadly=deadly), got.extend)
    rows = {row.key: row for row in got}
    assert len(rows) == len(got) == 12
    assert [key for key, row in rows.items() if row.status != OK] == [deadly]
    assert rows[deadly].status == DIED
    assert "took down 3 workers" in rows[deadly].error


def test_bugs_of_ours_are_not_taken_for_deaths() -> None:
    class Broken(Here):
        def start(self) -> Executor:
            class Raising(InPlace):
                def submit(self, *_: Any, **__: Any) -> Future[Any]:
                    future: Future[Any] = Future()
                    future.set_exception(TypeError("cannot pickle"))
                    return future

            return Raising()

    with pytest.raises(TypeError, match="cannot pickle"):
        drive(points(3), Broken(), lambda _: None)


def test_workers_compile_kernels_on_one_thread() -> None:
    compiled = "__import__('numba').njit(lambda x: x + 1)(1), __import__('numba').get_num_threads()"
    pool = Pool(1)
    executor = pool.start()
    try:
        assert executor.submit(eval, compiled).result() == (2, 1)
        assert executor.submit(eval, compiled).result() == (2, 1)
    finally:
        pool.stop(executor)
        pool.close()


def test_executors_by_name() -> None:
    assert isinstance(workers("serial", 4), Here)
    assert isinstance(workers("processes", 2), Pool)
    assert isinstance(workers(None, 1), Here)
    for name, jobs, said in [("slurm", None, "dask://host:port"), (None, 0, "whole number >= 1")]:
        with pytest.raises(UsageError, match=said):
            workers(name, jobs)


def test_a_chunk_with_a_bad_point_still_answers_for_all() -> None:
    (part, *_) = points(3)
    assert [row.status for row in run_chunk(part)] == [OK, OK, OK]


def start(folder: Path, executor: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    folder.parent.mkdir(exist_ok=True)
    script = folder.parent / "study_script.py"
    script.write_text(STUDY)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), executor],
        env=env,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(folder: Path, executor: str) -> None:
    assert start(folder, executor).wait(timeout=120) == 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("whole") / "s"
    finish(folder, "serial")
    return content(folder)


@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_killed_driver_leaves_no_worker_and_its_study_goes_on(
    tmp_path: Path, uninterrupted: list[tuple[Any, ...]], attempt: int
) -> None:
    folder = tmp_path / "a" / "s"
    running = start(folder, "processes")
    wait_for(folder, running, random.Random(attempt).randrange(1, 40))
    family = children(running.pid)
    running.kill()
    running.wait()
    finish(folder, "serial")
    assert content(folder) == uninterrupted
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in family if alive(pid)]


@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_killed_worker_changes_no_byte(
    tmp_path: Path, uninterrupted: list[tuple[Any, ...]], attempt: int
) -> None:
    folder = tmp_path / "a" / "s"
    running = start(folder, "processes")
    wait_for(folder, running, random.Random(100 + attempt).randrange(1, 40))
    for pid in children(running.pid)[-1:]:
        os.kill(pid, signal.SIGKILL)
    assert running.wait(timeout=120) == 0
    assert content(folder) == uninterrupted


def wait_for(folder: Path, running: subprocess.Popen[bytes], points: int) -> None:
    """Until so many points are done, or the driver is."""
    while running.poll() is None and (not (folder / "study.sqlite").exists() or done(folder) < points):
        time.sleep(0.01)


def done(folder: Path) -> int:
    import sqlite3

    try:
        file = sqlite3.connect(f"{(folder / 'study.sqlite').as_uri()}?mode=ro", uri=True)
        try:
            return int(file.execute("SELECT count(*) FROM results").fetchone()[0])
        finally:
            file.close()
    except sqlite3.Error:
        return 0


def children(pid: int) -> list[int]:
    """Processes below ``pid``, deepest last."""
    found, level = [], [pid]
    while level:
        listed = [
            child
            for parent in level
            for task in Path(f"/proc/{parent}/task").glob("*/children")
            for child in map(int, task.read_text().split())
        ]
        found, level = [*found, *listed], listed
    return found


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_interrupting_keeps_what_is_done(tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(finished: int, total: int, failed: int) -> None:
        assert (total, failed) == (480, 0)
        seen.append(finished)
        if finished >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(folder=tmp_path, notice=stop, seed=list(range(40)), models=["gemm:16,16,8"])
    kept = sum(status is not None for _, _, status, *_ in content(tmp_path))
    assert kept == seen[-1] >= 4


def test_lazy_order_gives_the_same_rows() -> None:
    parts = points(9)
    forward: list[Row] = []
    drive(parts, Here(), forward.extend)
    lazy = Lazy()
    futures = [lazy.submit(run_chunk, part) for part in parts]
    lazy.flush()
    backward = [row for future in futures for row in future.result()]
    assert sorted(backward, key=lambda row: row.key) == sorted(forward, key=lambda row: row.key)
