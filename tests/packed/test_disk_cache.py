"""What one process compiled, the next one loads, and only what it asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simsparse.kernels import event_loop

PRODUCTS = """
import numba
import numpy as np
from numba.core import event
from simsparse.formats import encode
from simsparse.packed import prepare

recorder = event.RecordingListener()
event.register("numba:compile", recorder)
weights = np.eye(16, 64, dtype=np.float32) + np.eye(16, 64, 3, dtype=np.float32)
for n, kernel in ((1, "gemv-csr"), (8, "csr")):
    prepare(encode(weights, "csr"), n, kernel=kernel) @ np.ones((64, n), np.float32)
print(len(recorder.buffer))
"""


def test_a_second_process_compiles_nothing(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "SIMSPARSE_SIMD": ""}
    compiled = [
        int(
            subprocess.run(
                [sys.executable, "-c", PRODUCTS], env=environment, check=True, capture_output=True
            ).stdout
        )
        for _ in range(2)
    ]
    assert compiled[0] > 0
    assert compiled[1] == 0


@pytest.mark.parametrize("step", ["_save_index", "_save_data"])
def test_two_processes_that_save_at_once_do_not_get_the_code_of_each_other(
    step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = event_loop.run_tiles._cache._cache_file  # type: ignore[attr-defined]
    read, go_on = index._load_index, getattr(index, step)
    monkeypatch.setattr(index, "_cache_path", str(tmp_path))
    monkeypatch.setattr(index, "_index_path", str(tmp_path / index._index_name))

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(index, step, go_on)
        index.save("other", "code of other")
        go_on(*arguments)

    monkeypatch.setattr(index, "_load_index", dict)  # both have read it before either wrote
    monkeypatch.setattr(index, step, overtaken)
    index.save("one", "code of one")
    monkeypatch.setattr(index, "_load_index", read)
    found = [index.load("one"), index.load("other")]
    assert found in (["code of one", None], [None, "code of other"])
