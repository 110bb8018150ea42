"""What would remove a term: a change of the machine, simulated, where there is one; else what to do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

from simsparse.dataflows import plan_layer
from simsparse.dataflows.vector import plan_vector
from simsparse.engine import execute
from simsparse.errors import UnsupportedError
from simsparse.explanation.book import PlanBook
from simsparse.explanation.wording import NOT_PRUNED, WITHOUT_WEIGHTS
from simsparse.hardware import CartesianParameters, HardwareModel
from simsparse.hardware.accelerators import BroadcastCscParameters
from simsparse.ir import LayerKind
from simsparse.results import LayerResult, Run
from simsparse.units import percent, si

WORTH_SAYING = 0.99
"""Terms closer to one than this get no remedy."""
_NAMED = 3
Change = tuple[str, HardwareModel]
"""A change in words, and the machine with it."""

_ADVICE = {
    "fixed overheads": "fewer, larger launches: a larger batch, fused layers",
    "decode": "a format that is computed on as it is stored, or a faster decoder",
    "bank conflicts": "more accumulator banks, or deeper queues in front of them",
    "metadata traffic": "a format with fewer bits per kept weight: a bitmask, N:M, or larger blocks",
    "input and output traffic": "keep activations on chip: fused layers, a larger buffer, another tile order",
    "bandwidth": "fewer bytes: a narrower dtype or a denser format; or a larger batch",
    "load imbalance": "tiles of equal work: group rows by kept weights, finer tiles, dynamic scheduling",
    "wave quantisation": "more tiles than units: a larger batch or smaller tiles",
    "tile quantisation": "sizes that are multiples of the tile, or a kernel closer to the peak",
}


class Remedies:
    """Looks for what would remove the terms of one run."""

    def __init__(self, run: Run, book: PlanBook, hardware: HardwareModel) -> None:
        self._run, self._book, self._hardware = run, book, hardware

    def of(self, name: str, factor: float) -> str:
        """What would remove the term ``name``; empty where it costs next to nothing."""
        if factor > WORTH_SAYING:
            return ""
        if name in (WITHOUT_WEIGHTS, NOT_PRUNED):
            return self._largest(name)
        if name == "zeros not skipped":
            return self._skipping()
        tried = [(self._speedup(machine), words) for words, machine in self._changes(name)]
        if tried and max(tried)[0] * WORTH_SAYING > self._run.speedup:
            speedup, words = max(tried)
            return f"{words} recovers {percent(speedup / self._run.speedup - 1)}"
        return _ADVICE[name]

    def _changes(self, name: str) -> Iterator[Change]:
        makers: dict[str, Callable[[HardwareModel], Iterator[Change]]] = {
            "fixed overheads": _faster_launch,
            "decode": _faster_decoder,
            "bandwidth": _more_bandwidth,
            "bank conflicts": _deeper_banks,
            "load imbalance": _deeper_queue,
        }
        return makers[name](self._hardware) if name in makers else iter(())

    def _speedup(self, machine: HardwareModel) -> float:
        """The run's speed-up on another machine, with the formats it has."""
        time_s = self._time_s(machine, self._run.layers)
        return self._time_s(machine, self._run.baseline_layers) / time_s if math.isfinite(time_s) else 0.0

    def _time_s(self, machine: HardwareModel, results: Sequence[LayerResult]) -> float:
        total = 0.0
        for result in results:
            chosen = self._book.of(result)
            try:
                if chosen.task is None:
                    planned = plan_vector(chosen.layer, machine, self._run.dtype)
                else:
                    planned = plan_layer(dataclasses.replace(chosen.task, hardware=machine))
            except UnsupportedError:
                return math.inf
            cycles = execute(planned.plan).total_cycles * planned.time_factor
            total += cycles / machine.clock_hz * result.count
        return total

    def _largest(self, name: str) -> str:
        time_s: dict[str, float] = {}
        for layer in self._run.layers:
            weighted = LayerKind(layer.kind).has_weights
            if name == WITHOUT_WEIGHTS and not weighted:
                time_s[layer.kind] = time_s.get(layer.kind, 0.0) + layer.time_s * layer.count
            elif name == NOT_PRUNED and weighted and layer.weight_density >= 1.0:
                time_s[layer.name] = layer.time_s * layer.count
        shown = sorted(time_s, key=lambda key: -time_s[key])[:_NAMED]
        total = self._run.totals.time_s
        listed = ", ".join(f"{key} ({percent(time_s[key] / total)} of the time)" for key in shown)
        return f"{'fuse or speed up' if name == WITHOUT_WEIGHTS else 'prune'} {listed}"

    def _skipping(self) -> str:
        skips = [name for name, support in self._hardware.formats.items() if support.role == "skip"]
        if not skips:
            return f"a machine that skips zeros: {self._hardware.name} skips none"
        pruned = [layer for layer in self._run.layers if layer.format and layer.weight_density < 1.0]
        others = [layer for layer in pruned if layer.format.split(":")[0] not in skips]
        if len(others) == len(pruned):
            return f"a pattern or format whose zeros {self._hardware.name} skips: {', '.join(skips)}"
        if others:
            return (
                f"{len(others)} of {len(pruned)} pruned layers run in a format that skips nothing:"
                f" larger ones would gain by {', '.join(skips)}"
            )
        return "zeros that all fall where the machine skips them"


def _faster_launch(machine: HardwareModel) -> Iterator[Change]:
    if machine.launch_s:
        half = machine.launch_s / 2
        words = f"starting a layer in {si(half, 's')} instead of {si(machine.launch_s, 's')}"
        yield words, dataclasses.replace(machine, launch_s=half)


def _faster_decoder(machine: HardwareModel) -> Iterator[Change]:
    formats = {
        name: dataclasses.replace(support, decode_weights_per_cycle=2 * support.decode_weights_per_cycle)
        if support.decode_weights_per_cycle
        else support
        for name, support in machine.formats.items()
    }
    if any(support.decode_weights_per_cycle for support in formats.values()):
        yield "a decoder twice as fast", dataclasses.replace(machine, formats=formats)


def _more_bandwidth(machine: HardwareModel) -> Iterator[Change]:
    for index, level in enumerate(machine.memory):
        rate = level.bandwidth_bytes_per_s
        if rate is not None:
            wider = dataclasses.replace(level, bandwidth_bytes_per_s=2 * rate)
            memory = (*machine.memory[:index], wider, *machine.memory[index + 1 :])
            words = f"{si(2 * rate, 'B/s')} of {level.name} bandwidth instead of {si(rate, 'B/s')}"
            yield words, dataclasses.replace(machine, memory=memory)


def _deeper_banks(machine: HardwareModel) -> Iterator[Change]:
    flow = machine.dataflow
    if isinstance(flow, CartesianParameters):
        deeper = dataclasses.replace(flow, accumulator_queue=2 * flow.accumulator_queue + 1)
        words = f"accumulator queues of {deeper.accumulator_queue} instead of {flow.accumulator_queue}"
        yield words, dataclasses.replace(machine, dataflow=deeper)


def _deeper_queue(machine: HardwareModel) -> Iterator[Change]:
    flow = machine.dataflow
    if isinstance(flow, BroadcastCscParameters):
        deeper = dataclasses.replace(flow, queue_depth=4 * flow.queue_depth)
        words = f"a queue depth of {deeper.queue_depth} instead of {flow.queue_depth}"
        yield words, dataclasses.replace(machine, dataflow=deeper)
