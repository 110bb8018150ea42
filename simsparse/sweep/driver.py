"""Keeps workers busy with chunks and hands their rows to the store, whatever dies on the way."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait

from simsparse.sweep.chunk import Chunk, Keyed, run_chunk
from simsparse.sweep.executors import Workers
from simsparse.sweep.figures import DIED, Row, failed

Deliver = Callable[[list[Row]], None]
AHEAD = 2
"""Chunks that wait with each worker, so that it is never idle while the driver writes."""
_LIVES = 3
"""Workers that a single point may take down before it is given up."""
_DASK_DEATHS = ("KilledWorker", "FutureCancelledError", "FuturesCancelledError", "CommClosedError")


class WorkerDiedError(Exception):
    """A worker ended without an answer."""


def drive(chunks: Iterable[Chunk], workers: Workers, deliver: Deliver) -> None:
    """Run all chunks; ``deliver`` gets each one's rows as soon as they are there.

    When a worker dies, what was under way is run again point by point, one at a time, so that a point which
    kills its worker (by taking all memory, say) is found and nothing else is blamed for it.
    """
    waiting = deque(chunks)
    if not waiting:
        return
    executor = workers.start()
    finished = False
    try:
        suspects = _together(executor, waiting, workers.count * AHEAD, deliver)
        deaths: Counter[str] = Counter()
        while suspects or waiting:
            workers.stop(executor)
            executor = workers.start()
            alive, suspects = _one_by_one(executor, suspects, deaths, deliver)
            if alive:
                suspects = _together(executor, waiting, workers.count * AHEAD, deliver)
        finished = True
    finally:
        if finished:
            executor.shutdown(wait=True)
        else:
            workers.stop(executor)


def _together(executor: Executor, waiting: deque[Chunk], window: int, deliver: Deliver) -> list[Chunk]:
    """Run what waits; the chunks that were under way when a worker died, empty when all went well."""
    running: dict[Future[list[Row]], Chunk] = {}
    broken: list[Chunk] = []
    while running or (waiting and not broken):
        while waiting and len(running) < window and not broken:
            chunk = waiting.popleft()
            try:
                running[executor.submit(run_chunk, chunk)] = chunk
            except RuntimeError:  # the pool noticed a death before we did
                broken.append(chunk)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            chunk = running.pop(future)
            rows = _result(future)
            if rows is None:
                broken.append(chunk)
            else:
                deliver(rows)
    return broken


def _one_by_one(
    executor: Executor, suspects: Sequence[Chunk], deaths: Counter[str], deliver: Deliver
) -> tuple[bool, list[Chunk]]:
    """Run suspects alone; False and those that are left when the next worker dies."""
    left = deque(_single(chunk, keyed) for chunk in suspects for keyed in chunk.points)
    while left:
        chunk = left.popleft()
        try:
            rows = _result(executor.submit(run_chunk, chunk))
        except RuntimeError:
            rows = None
        if rows is not None:
            deliver(rows)
            continue
        key = chunk.points[0][0]
        deaths[key] += 1
        if deaths[key] < _LIVES:
            left.appendleft(chunk)
        else:
            error = WorkerDiedError(f"took down {_LIVES} workers (not enough memory?)")
            deliver([failed(key, error, status=DIED)])
        return False, list(left)
    return True, []


def _result(future: Future[list[Row]]) -> list[Row] | None:
    """A chunk's rows, or None where its worker died; a chunk itself never raises."""
    try:
        return future.result()
    except (BrokenExecutor, CancelledError, MemoryError):
        return None
    except Exception as error:
        if type(error).__name__ in _DASK_DEATHS:
            return None
        raise


def _single(chunk: Chunk, keyed: Keyed) -> Chunk:
    return dataclasses.replace(chunk, points=(keyed,), cost_s=chunk.cost_s / len(chunk.points))
