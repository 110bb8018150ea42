"""Compiling before workers start: processes that write the same cache of kernels at once may crash.

Source: numba issues 4807 and 10128.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from simsparse.errors import SimsparseError
from simsparse.load.catalog import load_model
from simsparse.simulate import simulate
from simsparse.sweep.points import Grid, Point

_SMALL = ("gemm:64,64,16", "conv:32,64,8,8,3,3,1")


def warm(grid: Grid, points: Iterable[Point]) -> None:
    """Run a small layer of each kind in every way that ``points`` use, in this process."""
    models = [load_model(text) for text in _SMALL]
    for point in _ways(points):
        for workload in models:
            layer = dataclasses.replace(workload.layers[0], heads=4)
            try:
                simulate(
                    dataclasses.replace(workload, layers=(layer,)),
                    on=grid.machines[point.hardware],
                    prune=point.pattern,
                    format=point.format,
                    dtype=point.dtype,
                    criterion=point.criterion,
                    activation_density=point.activation_density,
                )
            except SimsparseError:
                continue  # what a machine cannot run needs no kernel


def _ways(points: Iterable[Point]) -> list[Point]:
    """Points that together use every kind of pattern, and every format on every machine."""
    found: dict[tuple[str | bool, ...], Point] = {}
    for point in points:
        machine = point.hardware.partition("[")[0]
        kind = point.pattern.partition(":")[0]
        sparse = point.activation_density is not None and point.activation_density < 1
        found.setdefault((kind, point.criterion), point)
        found.setdefault((machine, point.format, sparse), point)
    return list(dict.fromkeys(found.values()))
