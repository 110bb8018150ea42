"""Serial transfers: what a plan moves before its first tile, one stream after the other, overlapped with
nothing.
"""

from __future__ import annotations

import numpy as np

from simsparse.plan import Durations, IntArray, Plan, Stream
from simsparse.results import Event


def serial_ticks(plan: Plan, length: Durations) -> int:
    """How long they take in all, latencies included; a stream without bytes takes nothing."""
    latency = length.latency[channel_indices(plan.serial_streams)]
    return int(np.sum(np.where(length.serial > 0, length.serial + latency, 0)))


def serial_busy(plan: Plan, length: Durations) -> IntArray:
    """(C,) ticks that they occupy each channel."""
    busy = np.zeros(len(plan.channels), dtype=np.int64)
    np.add.at(busy, channel_indices(plan.serial_streams), length.serial)
    return busy


def serial_events(plan: Plan, length: Durations) -> list[Event]:
    """Their bars on the timeline."""
    bars, now = [], 0
    for stream, ticks in zip(plan.serial_streams, length.serial, strict=True):
        if ticks:
            resource = plan.channels[stream.channel].name
            bars.append(Event(resource, f"serial {stream.name}", 0, now, now + int(ticks)))
            now += int(ticks + length.latency[stream.channel])
    return bars


def channel_indices(streams: tuple[Stream, ...]) -> IntArray:
    """The channel of each stream."""
    return np.array([stream.channel for stream in streams], dtype=np.int64)
