"""What one process compiled, the next one loads."""

from __future__ import annotations

import os
import subprocess
import sys

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
