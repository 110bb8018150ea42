"""No kernel reads or writes outside its arrays."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
def test_kernels_stay_between_guard_pages():
    done = subprocess.run(
        [sys.executable, "-m", "tests.packed.guarded_run"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "no byte out of bounds\n", done.stderr
    assert done.returncode < 0  # the last line of the script touches a guard, to prove that they work
