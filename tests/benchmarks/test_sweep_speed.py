"""The sweep benchmark sweeps what it says."""

from __future__ import annotations

import os
from collections import Counter

from benchmarks.sweep_speed import resident_mb, study


def test_the_grid_is_a_thousand_points() -> None:
    grid = study()
    assert len(grid.points) == len(set(grid.points)) == 1000
    assert set(Counter(point.hardware for point in grid.points).values()) == {200}
    assert len({point.pattern for point in grid.points}) == 10


def test_a_part_of_it_is_spread_over_machines() -> None:
    assert Counter(point.hardware for point in study(50).points).most_common(5)[-1][1] == 10


def test_memory_is_seen() -> None:
    assert resident_mb(os.getpid()) > 10
    assert resident_mb(2**30) == 0
