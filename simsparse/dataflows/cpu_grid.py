"""Plans of pieces of work: tiles bound to cores, in the order in which each thread walks them."""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cpu_memory import cpu_of, memory_of
from simsparse.dataflows.cpu_work import Cost, Work
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.dataflows.tiling import stored_bytes
from simsparse.ir import LayerKind
from simsparse.plan import Channel, FloatArray, IntArray, Plan, Stream, TileKind
from simsparse.results import Counts

_MOST_TILES = 6000
_LEAST_TILES = 8
"""Tiles of a thread, so that its arithmetic meets the DRAM traffic of the others."""


def work_plan(task: LayerTask, work: Work, threads: int) -> tuple[Plan, Cost]:
    """The plan of a layer's work, and what each piece costs."""
    machine = task.hardware
    parameters, memory = cpu_of(machine), memory_of(machine, threads)
    cost = work.cost(parameters, memory)
    piece, times = _tiles(work, threads)
    launch = float(cost.serial.sum())

    def of_tiles(values: FloatArray) -> FloatArray:
        return np.broadcast_to(values, work.count.shape)[piece] * times

    plan = Plan(
        kind=TileKind.UNICAST,
        units=machine.units,
        channels=(Channel(name="dram", bytes_per_cycle=memory.shared_bytes_per_cycle),),
        fetch_streams=(Stream(name="operands", channel=0),),
        fetch_bytes=np.ceil(of_tiles(cost.fetch)).astype(np.int64)[:, None],
        drain_streams=(Stream(name="outputs", channel=0),),
        drain_bytes=np.ceil(of_tiles(cost.drain)).astype(np.int64)[:, None],
        compute_cycles=of_tiles(cost.cycles),
        unit=work.thread[piece],
        buffer_credits=1,  # the bytes from DRAM are fetched before a tile computes, not during
        output_credits=1,
        overhead_cycles=machine.launch_s * machine.clock_hz + launch,
    )
    return plan, cost


def _tiles(work: Work, threads: int) -> tuple[IntArray, FloatArray]:
    """Which piece each tile is of and how much of it; threads take turns in the order of the tiles."""
    if threads == 1:
        return np.arange(len(work.count)), work.count
    most = max(1, _MOST_TILES // threads)
    pieces_of = np.bincount(work.thread, minlength=threads)
    found: list[tuple[int, int, int, float]] = []
    seen = np.zeros(threads, dtype=np.int64)
    for piece, (thread, count) in enumerate(zip(work.thread.tolist(), work.count.tolist(), strict=True)):
        least = -(-_LEAST_TILES // int(pieces_of[thread]))
        cuts = max(1, min(max(least, int(count)), most // int(pieces_of[thread])))
        found += [(int(seen[thread]) + i, thread, piece, count / cuts) for i in range(cuts)]
        seen[thread] += cuts
    found.sort()
    return np.array([tile[2] for tile in found]), np.array([tile[3] for tile in found])


def layer_plan(
    task: LayerTask,
    work: Work,
    threads: int,
    name: str,
    *,
    done: int,
    loaded: float,
    notes: tuple[str, ...] = (),
) -> LayerPlan:
    """The layer plan of a kernel's work; ``loaded`` are bytes from L1."""
    plan, cost = work_plan(task, work, threads)
    weights = task.layer.kind != LayerKind.MATMUL
    values, metadata = stored_bytes(task) if weights else (0, 0)
    used = len(np.unique(plan.unit))
    return LayerPlan(
        plan=plan,
        kernel=f"{name}, {used} thread{'s' * (used > 1)}",
        macs_done=done,
        macs_skipped=task.layer.macs - done,
        counts=Counts(
            {
                ("mac", task.dtype): done,
                ("core", "cycle"): round(float(plan.compute_cycles.sum())),
                ("l1", "byte"): round(loaded),
                ("l2", "byte"): round(float((work.count * cost.l2).sum())),
                ("l3", "byte"): round(float((work.count * cost.l3).sum())),
            }
        ),
        weight_bytes=values,
        metadata_bytes=metadata,
        notes=notes,
    )
