"""One layer's time in a world without some of its costs.

Costs are taken away one after the other, in the order of :class:`Cost`; each world lacks all costs before it
too. Up to ``BANDWIDTH`` the altered plan runs on the engine again; from ``IMBALANCE`` on nothing but compute
is left. ``IMBALANCE`` gives every tile of a barrier group the same work, ``WAVES`` keeps all units busy to
the end, ``TILES`` does the multiply-adds that are done or gated at the units' peak rate, and ``ZEROS`` only
those of the weights that are kept.
"""

from __future__ import annotations

import dataclasses
from enum import IntEnum

import numpy as np

from simsparse.dataflows import plan_layer
from simsparse.dataflows.task import LayerPlan, LayerTask
from simsparse.engine import execute
from simsparse.hardware.accelerators import TensorCoreParameters
from simsparse.layer_run import Chosen
from simsparse.plan import FloatArray, IntArray, Plan, Stream, TileKind

INFINITE = 1e30
"""Bytes per cycle of a channel that never limits."""
_ACTIVATIONS = ("inputs", "outputs", "spilled activations")


class Cost(IntEnum):
    """What stands between a layer's time and its ideal, in the order in which it is taken away."""

    NOTHING = 0
    OVERHEADS = 1
    DECODE = 2
    CONFLICTS = 3
    METADATA = 4
    ACTIVATIONS = 5
    BANDWIDTH = 6
    IMBALANCE = 7
    WAVES = 8
    TILES = 9
    ZEROS = 10


class LayerWorlds:
    """Cycles of one layer, with all costs up to a given one taken away."""

    def __init__(self, chosen: Chosen) -> None:
        if chosen.task is None:
            raise ValueError(f"layer {chosen.layer.name}: expected a product")
        self._chosen, self._task = chosen, chosen.task
        self._without_positions: LayerPlan | None = None

    def cycles(self, removed: Cost) -> float:
        """Cycles of one instance without ``removed`` and all costs before it."""
        if removed == Cost.NOTHING:
            return self._chosen.result.cycles
        planned = self._plan_without_positions() if removed >= Cost.METADATA else self._chosen.planned
        if removed <= Cost.BANDWIDTH:
            return execute(_cheaper(planned.plan, removed)).total_cycles
        bare = _cheaper(planned.plan, Cost.BANDWIDTH)
        if removed == Cost.IMBALANCE:
            return _even_cycles(bare)
        busy = _busy_cycles(bare)
        if removed == Cost.WAVES:
            return busy
        slots = min(busy, (planned.macs_done + planned.macs_gated) / self._peak)
        kept = self._chosen.layer.macs * self._chosen.result.weight_density / self._peak
        return slots if removed == Cost.TILES else kept

    @property
    def _peak(self) -> float:
        machine = self._task.hardware
        return machine.macs_per_cycle[self._task.dtype] * machine.units

    def _plan_without_positions(self) -> LayerPlan:
        if self._without_positions is None:
            footprint = self._task.footprint
            if footprint.metadata_bits:
                self._without_positions = plan_layer(_without_positions(self._task))
            else:
                self._without_positions = self._chosen.planned
        return self._without_positions


def _without_positions(task: LayerTask) -> LayerTask:
    footprint = dataclasses.replace(task.footprint, metadata_bits=0)
    machine, core = task.hardware, task.hardware.dataflow
    if isinstance(core, TensorCoreParameters) and core.groups:
        free = dataclasses.replace(core, metadata_bits=(0,) * len(core.groups))
        machine = dataclasses.replace(machine, dataflow=free)
    return dataclasses.replace(task, footprint=footprint, hardware=machine)


def _cheaper(plan: Plan, removed: Cost) -> Plan:
    """The plan without ``removed`` and all before it, up to ``BANDWIDTH``."""
    plan = dataclasses.replace(plan, overhead_cycles=0.0, start_cycles=0.0)
    if removed >= Cost.DECODE:
        plan = dataclasses.replace(plan, decode_cycles=np.zeros_like(plan.decode_cycles))
    if removed >= Cost.CONFLICTS:
        plan = dataclasses.replace(plan, cycles_per_work=1.0)
    if removed >= Cost.ACTIVATIONS:
        plan = dataclasses.replace(
            plan,
            fetch_bytes=_without_activations(plan.fetch_bytes, plan.fetch_streams),
            drain_bytes=_without_activations(plan.drain_bytes, plan.drain_streams),
            serial_bytes=_without_activations(plan.serial_bytes, plan.serial_streams),
        )
    if removed >= Cost.BANDWIDTH:
        free = [
            dataclasses.replace(channel, bytes_per_cycle=INFINITE, latency_cycles=0.0)
            for channel in plan.channels
        ]
        plan = dataclasses.replace(plan, channels=tuple(free))
    return plan


def _without_activations(size: IntArray, streams: tuple[Stream, ...]) -> IntArray:
    """Streams that carry weights as well (``operands``) keep their bytes; bandwidth answers for them."""
    if not size.size:
        return size
    kept = np.array([stream.name not in _ACTIVATIONS for stream in streams], dtype=np.int64)
    return np.asarray(size * kept, dtype=np.int64)


def _even_cycles(plan: Plan) -> float:
    """Cycles with tiles of equal work in each barrier group, nothing but compute being left."""
    if plan.kind == TileKind.MULTICAST:
        return max(_busy_cycles(plan), float(plan.issue_cycles * plan.tiles * plan.repeat))
    return execute(dataclasses.replace(plan, compute_cycles=_evened(plan))).total_cycles


def _evened(plan: Plan) -> FloatArray:
    slices = np.diff(plan.slice_start) if plan.kind == TileKind.CHAIN else np.ones(plan.tiles, dtype=np.int64)
    owner = np.repeat(np.arange(plan.tiles), slices)
    group = plan.barrier if plan.barrier.size else np.zeros(plan.tiles, dtype=np.int64)
    work = np.bincount(group[owner], plan.compute_cycles, minlength=int(group.max(initial=0)) + 1)
    sharing = np.bincount(group[slices > 0], minlength=len(work))
    mean = work / np.maximum(1, sharing)
    return np.asarray(mean[group[owner]] / slices[owner])


def _busy_cycles(plan: Plan) -> float:
    """Mean cycles that a unit computes."""
    if plan.kind == TileKind.MULTICAST:
        rows = np.maximum(plan.work, plan.minimum_busy_cycles).mean(axis=1)[plan.work_row]
        return float(np.sum(rows * (plan.work_scale if plan.work_scale.size else 1))) * plan.repeat
    return float(plan.compute_cycles.sum()) / plan.units * plan.repeat
