"""Which thread does what: rows in contiguous parts of equal work, columns in panels; and plans of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, Traffic, dram_rate, parameters
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import stored_bytes
from simsparse.ir import LayerKind
from simsparse.plan import Channel, FloatArray, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_MOST_TILES = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """``row_parts`` x ``column_parts`` threads; thread (i, j) is number ``i · column_parts + j``."""

    row_parts: int
    column_parts: int

    @property
    def threads(self) -> int:
        """Threads at work."""
        return self.row_parts * self.column_parts

    def abreast(self, memory: Memory) -> int:
        """Threads on one L3 that work on the same rows, each on panels of its own."""
        return min(self.column_parts, memory.sharers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadCost:
    """What each thread spends on one panel (or all of its work): cycles and DRAM bytes in and out."""

    cycles: FloatArray
    fetch: FloatArray
    drain: FloatArray
    l2: float
    l3: float

    @classmethod
    def of(cls, core: FloatArray, read: Traffic, written: Traffic) -> ThreadCost:
        """Everything is additive: the streams hardly overlap with the arithmetic of one core."""
        cycles = core + read.cycles + written.cycles
        shape = cycles.shape
        return cls(
            cycles=cycles,
            fetch=np.broadcast_to(read.dram, shape),
            drain=np.broadcast_to(written.dram, shape),
            l2=float(np.broadcast_to(read.l2 + written.l2, shape).sum()),
            l3=float(np.broadcast_to(read.l3 + written.l3, shape).sum()),
        )


def choose_grid(units: int, row_units: int, panels: int, cost: Callable[[int, int], float]) -> Grid:
    """The grid with the least ``cost(row_parts, column_parts)`` among those that use the cores."""
    columns = {c for c in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128) if c <= min(panels, units)}
    grids = [Grid(row_parts=max(1, min(row_units, units // c)), column_parts=c) for c in sorted(columns)]
    return min(grids, key=lambda grid: cost(grid.row_parts, grid.column_parts))


def balanced(work: IntArray, parts: int, step: int = 1) -> IntArray:
    """(parts + 1,) boundaries of contiguous parts of about equal work, in multiples of ``step`` rows.

    >>> balanced(np.array([4, 1, 1, 2, 2, 2]), 3).tolist()
    [0, 1, 4, 6]
    """
    rows = len(work)
    units = np.add.reduceat(work, np.arange(0, rows, step)) if step > 1 else work
    upto = np.concatenate([[0], np.cumsum(units + 1e-9)])
    inner = np.searchsorted(upto, upto[-1] * np.arange(1, parts) / parts - 1e-6)
    bounds: IntArray = np.concatenate([[0], inner, [len(units)]]).astype(np.int64) * step
    return np.minimum(bounds, rows)


def panel_share(panels: int, parts: int) -> IntArray:
    """(parts + 1,) boundaries of the panels of each column part."""
    return np.arange(parts + 1, dtype=np.int64) * panels // parts


def thread_plan(
    task: LayerTask, grid: Grid, panels: int, full: ThreadCost, last: ThreadCost, launch_cycles: float
) -> Plan:
    """Tiles of one panel (or a few) each, in the order of the panels; each thread walks its own panels.

    ``full`` and ``last`` hold one entry per row part: the cost of a full panel and of the last one.
    """
    bounds = panel_share(panels, grid.column_parts)
    per_thread = int(np.diff(bounds).max())
    steps = max(1, min(per_thread, _MOST_TILES // grid.threads))
    chunks = [_chunks(int(bounds[j]), int(bounds[j + 1]), steps) for j in range(grid.column_parts)]
    tiles = [
        (i * grid.column_parts + j, i, chunks[j][step])
        for step in range(steps)
        for i in range(grid.row_parts)
        for j in range(grid.column_parts)
        if step < len(chunks[j])
    ]
    unit = np.array([tile[0] for tile in tiles], dtype=np.int64)
    part = np.array([tile[1] for tile in tiles], dtype=np.int64)
    whole = np.array([tile[2][1] - tile[2][0] - (tile[2][1] == panels) for tile in tiles])
    ends = np.array([tile[2][1] == panels for tile in tiles], dtype=np.int64)

    def total(name: str) -> FloatArray:
        values: FloatArray = whole * getattr(full, name)[part] + ends * getattr(last, name)[part]
        return values

    return core_plan(
        task,
        unit=unit,
        cycles=total("cycles"),
        fetch=total("fetch"),
        drain=total("drain"),
        threads=grid.threads,
        launch_cycles=launch_cycles,
    )


def _chunks(first: int, last: int, steps: int) -> list[tuple[int, int]]:
    cuts = [first + (last - first) * i // steps for i in range(steps + 1)]
    return [(a, b) for a, b in pairwise(cuts) if b > a]


def core_plan(
    task: LayerTask,
    *,
    unit: IntArray,
    cycles: FloatArray,
    fetch: FloatArray,
    drain: FloatArray,
    threads: int,
    launch_cycles: float,
) -> Plan:
    """Tiles bound to cores; the bytes from DRAM are fetched before a tile computes, not during."""
    machine = task.hardware
    latency = machine.level("dram").latency_s * machine.clock_hz
    overhead = machine.launch_s * machine.clock_hz + launch_cycles
    return Plan(
        kind=TileKind.UNICAST,
        units=machine.units,
        channels=(Channel(name="dram", bytes_per_cycle=dram_rate(task), latency_cycles=latency),),
        fetch_streams=(Stream(name="operands", channel=0),),
        fetch_bytes=np.ceil(fetch).astype(np.int64)[:, None],
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=np.ceil(drain).astype(np.int64)[:, None],
        compute_cycles=cycles,
        unit=unit,
        buffer_credits=1,
        output_credits=1,
        overhead_cycles=overhead + (threads - 1) * parameters(task).thread_launch_cycles,
    )


def layer_plan(
    task: LayerTask,
    plan: Plan,
    name: str,
    *,
    done: int,
    loaded: float,
    cached: tuple[float, float],
    notes: tuple[str, ...] = (),
) -> LayerPlan:
    """The layer plan of CPU kernels; ``loaded`` are bytes from L1, ``cached`` those from L2 and L3."""
    weights = task.layer.kind != LayerKind.MATMUL
    values, metadata = stored_bytes(task) if weights else (0, 0)
    return LayerPlan(
        plan=plan,
        kernel=f"{name}, {len(np.unique(plan.unit))} threads",
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("core", "cycle"): round(float(plan.compute_cycles.sum())),
                ("l1", "byte"): round(loaded),
                ("l2", "byte"): round(cached[0]),
                ("l3", "byte"): round(cached[1]),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=notes,
    )
