"""A run again on the reference engine, for its events: what was busy with what, and when."""

from __future__ import annotations

import numpy as np

from simsparse.engine import execute
from simsparse.explanation.book import PlanBook
from simsparse.hardware import HardwareModel
from simsparse.plan import TICKS_PER_CYCLE, Plan, TileKind
from simsparse.report.trace import EVENTS, LayerTrace, lanes
from simsparse.results import Run

_PER_LAYER = 200
"""Events kept free for each layer's counters, flow and summary, beside one for each of its lanes."""


def record(run: Run, book: PlanBook, hardware: HardwareModel, *, events: int = EVENTS) -> list[LayerTrace]:
    """Each layer's execution in order; the smallest plans in full, as many as ``events`` allow.

    ``book`` has observed the run while it was simulated on ``hardware``. A layer whose plan is too large is
    executed without events: its lanes are then summed up.
    """
    plans = [book.of(result).planned for result in run.layers]
    sizes = [event_count(planned.plan) for planned in plans]
    left = events - sum(_PER_LAYER + 2 * lanes(planned.plan) for planned in plans)
    detailed = set()
    for index in np.argsort(sizes, kind="stable"):
        left -= sizes[index]
        if left < 0:
            break
        detailed.add(int(index))
    traces, start_s = [], 0.0
    for index, (result, planned) in enumerate(zip(run.layers, plans, strict=True)):
        engine = "simpy" if index in detailed else "compiled"
        traces.append(
            LayerTrace(
                result=result,
                start_s=start_s,
                tick_s=planned.time_factor / TICKS_PER_CYCLE / hardware.clock_hz,
                plan=planned.plan,
                execution=execute(planned.plan, engine=engine),
            )
        )
        start_s += result.time_s * result.count
    return traces


def event_count(plan: Plan) -> int:
    """Bars that one repetition of a plan leaves on the timeline."""
    moved = sum(
        int(np.count_nonzero(part)) for part in (plan.fetch_bytes, plan.drain_bytes, plan.serial_bytes)
    )
    if plan.kind == TileKind.MULTICAST:
        busy = np.count_nonzero(np.maximum(plan.work, plan.minimum_busy_cycles), axis=1)
        return moved + int(busy[plan.work_row].sum())
    return moved + plan.slices + int(np.count_nonzero(plan.decode_cycles))
