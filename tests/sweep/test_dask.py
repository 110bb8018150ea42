"""A study on a Dask cluster is the study it is in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from simsparse.errors import UsageError
from simsparse.sweep import executors
from simsparse.sweep.executors import workers
from tests.sweep.small import study

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and one worker, a process of its own."""
    settings = {"processes": True, "dashboard_address": None, "host": "127.0.0.1", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **settings) as started:
        yield started


def test_a_study_on_a_cluster_is_the_same_study(cluster: Any) -> None:
    name = cluster.scheduler_address.replace("tcp://", "dask://")
    here, there = study(), study(executor=name)
    assert there.frame().equals(here.frame())
    assert there.rows == here.rows


def test_a_point_that_fails_there_says_why(cluster: Any) -> None:
    name = cluster.scheduler_address.replace("tcp://", "dask://")
    found = study(executor=name, models="gemm:8,8,8", on="eie", prune=["head:0.5"], format="csc")
    ((_, error),) = found.failed
    assert error == study(models="gemm:8,8,8", on="eie", prune=["head:0.5"], format="csc").failed[0][1]


def test_workers_are_waited_for(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = cluster.scheduler_address.replace("tcp://", "dask://")
    found = workers(name, 1)
    assert found.count == 1
    found.close()
    monkeypatch.setattr(executors, "WAIT_S", 0.1)
    with pytest.raises(UsageError, match="expected 2 workers within 0 s, got 1"):
        workers(name, 2)


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout=timeout / 50))
    with pytest.raises(UsageError, match=r"expected a scheduler at tcp://127\.0\.0\.1:9, got"):
        workers("dask://127.0.0.1:9", None)
