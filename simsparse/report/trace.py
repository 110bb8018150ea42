"""The timeline of a run in the Chrome trace event format, for Perfetto, chrome://tracing or speedscope.

One lane per channel, decoder and compute unit, each of which does one thing at a time; above them a lane of
layers and one of launches. Of a layer's repetitions and instances the first is shown tile by tile and the
others as one bar per lane, as long as the lane is busy in them; so is a layer whose plan is too large. Busy
times of lanes therefore add up to the run's. Counters: bytes per second of each channel, and tiles that have
arrived and wait for a unit. A flow leads from each layer to the bar that it ends with.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simsparse.errors import FileError
from simsparse.plan import Plan
from simsparse.report.plain import plain
from simsparse.results import Event, Execution, LayerResult, Run

EVENTS = 100_000
"""Trace events that a file holds at most."""
BINS = 32
"""Samples of a counter per layer."""
LAYERS, LAUNCHES = "layers", "launches"
_PS = 1e12
_PID = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerTrace:
    """One layer's execution on the timeline; without events in it its lanes are summed up."""

    result: LayerResult
    start_s: float
    tick_s: float
    """Seconds of an engine tick."""
    plan: Plan
    execution: Execution

    @property
    def runs(self) -> int:
        """How often the plan's tiles are worked through: repetitions × instances."""
        return self.execution.repeat * self.result.count

    def at(self, ticks: float) -> int:
        """Picoseconds on the timeline, ``ticks`` after the layer was launched."""
        return round((self.start_s + (self.execution.overhead_ticks + ticks) * self.tick_s) * _PS)


def write_trace(run: Run, traces: Sequence[LayerTrace], path: str | Path) -> Mapping[str, Any]:
    """Write the timeline, compressed where ``path`` ends in ``.gz``; returns what the file says of itself.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    data = trace(run, traces)
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    try:
        Path(path).write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)
    except OSError as error:
        raise FileError([f"{path}: expected a writable file, got: {error.strerror}"]) from None
    about: Mapping[str, Any] = data["otherData"]
    return about


def trace(run: Run, traces: Sequence[LayerTrace]) -> dict[str, Any]:
    """The timeline as plain data, events in the order of time."""
    numbers = _lane_numbers(traces)
    events = [event for index, layer in enumerate(traces) for event in _layer_events(index, layer, numbers)]
    events.sort(key=lambda event: (event["ts"], event["ph"] != "X"))
    named = [_named("process_name", 0, f"{run.model} on {run.hardware}")]
    named += [_named("thread_name", number, name) for name, number in numbers.items()]
    named += [
        {"ph": "M", "name": "thread_sort_index", "pid": _PID, "tid": number, "args": {"sort_index": number}}
        for number in numbers.values()
    ]
    detailed = sum(bool(layer.execution.events) for layer in traces)
    return {
        "traceEvents": (named + events)[:EVENTS],
        "displayTimeUnit": "ns",
        "otherData": {
            "model": plain(run.model),
            "hardware": plain(run.hardware),
            "pattern": plain(run.pattern),
            "layers": len(traces),
            "layers_tile_by_tile": detailed,
            "events": min(len(named) + len(events), EVENTS),
            "events_limit": EVENTS,
            "events_left_out": max(0, len(named) + len(events) - EVENTS),
        },
    }


def lanes(plan: Plan) -> int:
    """Lanes that a plan can keep busy."""
    return len(plan.channels) + plan.units * (2 if plan.decode_cycles.size else 1)


def _lane_numbers(traces: Sequence[LayerTrace]) -> dict[str, int]:
    found = dict.fromkeys(name for layer in traces for name in _busy_ticks(layer))
    order = ("unit ", "decoder ")

    def key(name: str) -> tuple[int, int]:
        kind = next((index + 1 for index, start in enumerate(order) if name.startswith(start)), 0)
        return kind, int(name.split()[-1]) if kind else 0

    return {name: number for number, name in enumerate([LAYERS, LAUNCHES, *sorted(found, key=key)])}


def _busy_ticks(layer: LayerTrace) -> dict[str, int]:
    """Ticks that each lane is busy in one repetition."""
    ran = layer.execution
    names = [channel.name for channel in layer.plan.channels]
    parts = (
        *zip(names, ran.channel_busy_ticks, strict=True),
        *((f"unit {unit}", ticks) for unit, ticks in enumerate(ran.unit_busy_ticks)),
        *((f"decoder {unit}", ticks) for unit, ticks in enumerate(ran.decode_busy_ticks)),
    )
    return {name: int(ticks) for name, ticks in parts if ticks}


def _layer_events(index: int, layer: LayerTrace, numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    ran, result = layer.execution, layer.result
    end_s = layer.start_s + result.time_s * result.count
    name = plain(result.name)
    args = {"format": plain(result.format), "bound by": plain(result.bound_by), "instances": result.count}
    begin = round(layer.start_s * _PS)
    yield _slice(numbers[LAYERS], name, begin, round(end_s * _PS), args)
    if ran.overhead_ticks:
        length = round(ran.overhead_ticks * layer.tick_s * result.count * _PS)
        yield _slice(numbers[LAUNCHES], name, begin, begin + length, {"instances": result.count})
    bars = list(_bars(layer, numbers))
    yield from bars
    if bars:
        last = max(bars, key=lambda bar: (bar["ts"], bar["dur"]))
        flow = {"name": "layer", "cat": "layer", "id": index, "pid": _PID}
        yield {"ph": "s", "ts": begin / 1e6, "tid": numbers[LAYERS], **flow}
        yield {"ph": "f", "bp": "e", "ts": last["ts"], "tid": last["tid"], **flow}
    yield from _bandwidth(layer)
    yield from _waiting(layer)


def _bars(layer: LayerTrace, numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    name, ran = plain(layer.result.name), layer.execution
    for event in ran.events:
        args = {"layer": name, "tile": event.tile}
        yield _slice(
            numbers[event.resource], event.stage, layer.at(event.start_ticks), layer.at(event.end_ticks), args
        )
    more = layer.runs - 1 if ran.events else layer.runs
    if not more:
        return
    begin = ran.makespan_ticks if ran.events else 0
    label = f"{name}: {more} more" if ran.events else f"{name}: all {layer.plan.tiles} tiles"
    for lane, ticks in _busy_ticks(layer).items():
        yield _slice(
            numbers[lane], label, layer.at(begin), layer.at(begin + ticks * more), {"summed up": more}
        )


def _slice(lane: int, name: str, begin_ps: int, end_ps: int, args: Mapping[str, Any]) -> dict[str, Any]:
    begin, end = begin_ps / 1e6, end_ps / 1e6
    length = end - begin
    while begin + length > end:  # viewers add the two: a bar must not end after the next one has begun
        length = math.nextafter(length, 0.0)
    times = {"ts": begin, "dur": length}
    return {
        "ph": "X",
        "name": name,
        "cat": "simsparse",
        **times,
        "pid": _PID,
        "tid": lane,
        "args": dict(args),
    }


def _named(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": _PID, "tid": lane, "args": {"name": plain(name)}}


def _counter(name: str, ps: int, value: float) -> dict[str, Any]:
    return {"ph": "C", "name": name, "ts": ps / 1e6, "pid": _PID, "args": {"value": value}}


def _bandwidth(layer: LayerTrace) -> Iterator[dict[str, Any]]:
    """Mean bytes per second of each channel in equal parts of the first repetition."""
    ran = layer.execution
    span = ran.makespan_ticks
    for channel, busy in zip(layer.plan.channels, ran.channel_busy_ticks, strict=True):
        if not busy:
            continue
        rate = int(ran.channel_bytes[layer.plan.channels.index(channel)]) / (int(busy) * layer.tick_s)
        own = [event for event in ran.events if event.resource == channel.name]
        shares = _shares(own, span) if own else np.array([busy / span])
        for part, share in enumerate(shares):
            yield _counter(
                f"{channel.name} bytes/s", layer.at(span * part / len(shares)), float(share) * rate
            )
        yield _counter(f"{channel.name} bytes/s", layer.at(span * layer.runs), 0.0)


def _shares(events: Sequence[Event], span: int) -> np.ndarray:
    """Share of each part of the span in which one of the bars runs."""
    edges = np.linspace(0.0, span, BINS + 1)
    begin = np.array([event.start_ticks for event in events], dtype=np.float64)
    end = np.array([event.end_ticks for event in events], dtype=np.float64)
    upto = [float(np.clip(edge - begin, 0.0, end - begin).sum()) for edge in edges]
    return np.diff(upto) / (span / BINS)


def _waiting(layer: LayerTrace) -> Iterator[dict[str, Any]]:
    """Tiles that have arrived and have not begun to compute, at the start of each part."""
    events = layer.execution.events
    arrived, begun = _lasts(events, "fetch"), _firsts(events, "compute")
    if not arrived or not begun:
        return
    came = np.sort(np.array([arrived[tile] for tile in arrived if tile in begun]))
    went = np.sort(np.array([max(begun[tile], arrived[tile]) for tile in arrived if tile in begun]))
    for tick in np.linspace(0.0, layer.execution.makespan_ticks, BINS + 1):
        waiting = np.searchsorted(came, tick, "right") - np.searchsorted(went, tick, "right")
        yield _counter("tiles waiting", layer.at(float(tick)), int(waiting))


def _lasts(events: Sequence[Event], stage: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for event in events:
        if event.stage.startswith(stage):
            found[event.tile] = max(found.get(event.tile, 0), event.end_ticks)
    return found


def _firsts(events: Sequence[Event], stage: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for event in events:
        if event.stage.startswith(stage):
            found[event.tile] = min(found.get(event.tile, event.start_ticks), event.start_ticks)
    return found
