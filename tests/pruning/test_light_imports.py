"""What listings need (names of profiles, criteria, allocations) must not load Numba."""

from __future__ import annotations

import subprocess
import sys


def test_names_are_found_without_numba() -> None:
    code = (
        "import sys; from simsparse.pruning import allocation, criteria, profiles; profiles.profile_names();"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
