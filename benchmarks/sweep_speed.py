"""Speed and memory of sweeps.

    python benchmarks/sweep_speed.py [--points N] [--scaling] [--dask]

Sweeps ResNet-50 over 5 machines × 10 patterns × 20 combinations of format and activation density (1,000
points) in two processes, and prints wall seconds, points per second and peak memory of all processes
together. ``--scaling`` runs the first ``--points`` of them in one process and in two and prints the
efficiency; ``--dask`` runs them on two local Dask workers too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from simsparse.load.study_spec import StudySpec
from simsparse.sweep.executors import workers
from simsparse.sweep.points import Grid, expand
from simsparse.sweep.run import run

MACHINES = ("a100-80gb", "epyc-9654", "tpu-like", "stc", "dstc")
PATTERNS = ("unstructured:0.5:0.95:5", "2:4", "block:4x4:0.8", "block:4x4:0.9", "channel:0.5", "filter:0.5")
FORMATS = {
    "a100-80gb": ("auto", "csr", "nm", "bsr", "dense"),
    "epyc-9654": ("auto", "csr", "nm", "bsr", "bitmask"),
    "tpu-like": ("bitmask", "csr", "rle4", "nm", "coo"),
    "stc": ("auto", "nm", "dense"),
    "dstc": ("auto", "bitmask", "dense"),
}
DENSITIES = {"stc": 7, "dstc": 7}


def study(points: int | None = None) -> Grid:
    """The grid, or every so many of its points."""
    grids = [
        expand(
            StudySpec(
                models=("resnet50",),
                on=(name,),
                prune=PATTERNS,
                format=FORMATS[name],
                activation_density=tuple(1 - 0.1 * i for i in range(DENSITIES.get(name, 4))),
            )
        )
        for name in MACHINES
    ]
    found = [point for grid in grids for point in sorted(grid.points, key=lambda p: p.pattern)]
    by_machine = {name: [p for p in found if p.hardware == name][:200] for name in MACHINES}
    chosen = [point for name in MACHINES for point in by_machine[name]]
    if points is not None:
        chosen = chosen[:: max(1, len(chosen) // points)][:points]
    machines = {name: machine for grid in grids for name, machine in grid.machines.items()}
    return replace(grids[0], points=tuple(chosen), machines=machines)


def resident_mb(pid: int) -> float:
    """Proportional set size of a process and all below it, so that shared pages count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return own + sum(resident_mb(int(child)) for task in tasks for child in task.read_text().split())
    except (OSError, StopIteration):
        return 0.0


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """The largest memory of this process and its children while in the block."""
    import os

    peak = [0.0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            peak[0] = max(peak[0], resident_mb(os.getpid()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield peak
    stop.set()
    thread.join()


def timed(grid: Grid, executor: str, jobs: int) -> float:
    """Wall seconds of a study in a fresh folder; prints a line."""
    with tempfile.TemporaryDirectory() as folder, peak_memory() as peak:
        start = time.perf_counter()
        done = run(grid, workers(executor, jobs), crossover=False, folder=Path(folder) / "study")
        wall = time.perf_counter() - start
    rate = len(grid.points) / wall
    said = f"{len(grid.points)} points, {executor.partition(':')[0]}, {jobs} processes"
    print(
        f"{said:40} {wall:7.1f} s {rate:6.1f} points/s {peak[0]:6.0f} MB {len(done.failed)} failed",
        flush=True,
    )
    return wall


def dask(grid: Grid) -> float:
    """The same on a scheduler and two workers of one thread each, started as docs/cluster.md says."""
    port = 18786
    program = [sys.executable, "-m", "dask"]
    scheduler = [*program, "scheduler", "--port", str(port), "--no-dashboard", "--host", "127.0.0.1"]
    worker = [*program, "worker", f"127.0.0.1:{port}", "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    worker += ["--preload", "simsparse.sweep.chunk"]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in (scheduler, worker)]
    try:
        time.sleep(8.0)
        return timed(grid, f"dask://127.0.0.1:{port}", 2)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()


def main() -> None:
    """Run what was asked and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, help="every so many points of the grid")
    parser.add_argument("--scaling", action="store_true", help="one process against two")
    parser.add_argument("--dask", action="store_true", help="two Dask workers against two processes")
    options = parser.parse_args()
    grid = study(options.points)
    two = timed(grid, "processes", 2)
    if options.scaling:
        one = timed(grid, "processes", 1)
        print(f"efficiency from one process to two: {100 * one / two / 2:.0f} %")
    if options.dask:
        print(f"Dask against processes: {dask(grid) / two:.2f}x")


if __name__ == "__main__":
    main()
