"""Where chunks run: in this process, in processes of this host, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from importlib import import_module
from typing import Any, ParamSpec, Protocol, TypeVar

from simsparse.errors import UsageError

WAIT_S = 600.0
"""For the workers of a cluster to come."""
P = ParamSpec("P")
R = TypeVar("R")


class Workers(Protocol):
    """An executor that can be started again after its workers died."""

    count: int
    """How many chunks run at once."""

    def start(self) -> Executor:
        """A fresh executor."""

    def stop(self, executor: Executor) -> None:
        """Drop an executor with whatever it is doing."""

    def close(self) -> None:
        """Let go of what the executors came from."""


def workers(name: str | None, jobs: int | None) -> Workers:
    """The workers that ``--executor`` and ``--jobs`` ask for.

    Raises
    ------
    UsageError
        If there are none of that name, or a package is missing.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected a whole number >= 1, got {jobs} (leave it out for one per core)")
    count = jobs or available_cores()
    if name is None:
        return Here() if count == 1 else Pool(count)
    if name == "serial":
        return Here()
    if name == "processes":
        return Pool(count)
    if name.startswith("dask://"):
        return Dask(f"tcp://{name.removeprefix('dask://')}", jobs)
    raise UsageError(
        f'executor: expected serial, processes or dask://host:port, got "{name}" (leave it out for processes)'
    )


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class InPlace(Executor):
    """Runs a call when it is submitted."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """The result, already there."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Here:
    """This process alone."""

    count = 1

    def start(self) -> Executor:
        """An executor that runs calls in place."""
        return InPlace()

    def stop(self, executor: Executor) -> None:
        """Nothing is left to stop."""

    def close(self) -> None:
        """Nothing to let go of."""


class Pool:
    """Processes of this host.

    They are started by a fork server where there is one: a fork of this process would take along the locks
    that its threads hold, and a spawned process imports everything anew, which the server does once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        server = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if server else "spawn")
        if server:
            self._context.set_forkserver_preload(["simsparse.sweep.chunk"])

    def start(self) -> Executor:
        """A pool whose processes use one thread each and end with this process."""
        return ProcessPoolExecutor(self.count, mp_context=self._context, initializer=begin_worker)

    def stop(self, executor: Executor) -> None:
        """Kill the processes: what they have not handed over is computed again."""
        processes = list((getattr(executor, "_processes", None) or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        executor.shutdown(wait=True)

    def close(self) -> None:
        """Nothing to let go of."""


class Dask:
    """Workers of a Dask cluster, which need this package and the models' files; ``jobs`` are waited for."""

    def __init__(self, address: str, jobs: int | None = None) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise UsageError(
                "executor: expected the package distributed, got none (pip install simsparse[dask])"
            ) from None
        try:
            self._client: Any = distributed.Client(address, timeout=10)
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())
            raise UsageError(
                f"executor: expected a scheduler at {address}, got: {text} (start it first)"
            ) from None
        if jobs is not None:
            self._wait(jobs)
        self.count = max(1, sum(self._client.ncores().values()))

    def _wait(self, jobs: int) -> None:
        try:
            self._client.wait_for_workers(jobs, timeout=WAIT_S)
        except TimeoutError:
            came = len(self._client.ncores())
            self.close()
            raise UsageError(
                f"jobs: expected {jobs} workers within {WAIT_S:.0f} s, got {came}"
                " (start them, or ask for fewer)"
            ) from None

    def start(self) -> Executor:
        """The cluster as an executor; a call is not taken for an equal earlier one."""
        executor: Executor = self._client.get_executor(pure=False, retries=2)
        return executor

    def stop(self, executor: Executor) -> None:
        """Drop what is running."""
        executor.shutdown(wait=False)

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()


def begin_worker() -> None:
    """One thread for numba; interrupts are the driver's matter; no life after the driver's."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numba: Any = sys.modules.get("numba")
    if numba is not None:
        numba.config.reload_config()  # before threads start: after that nothing compiles with another number
        numba.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
