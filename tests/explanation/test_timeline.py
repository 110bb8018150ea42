"""The timeline keeps the rules of the trace event format, and its lanes add up to the run."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from simsparse.errors import UnsupportedError
from simsparse.explanation import PlanBook
from simsparse.explanation.timeline import event_count, record
from simsparse.ir import Workload, gemm_layer
from simsparse.load.catalog import load_hardware, names
from simsparse.report.trace import EVENTS, LayerTrace, trace, write_trace
from simsparse.results import Run
from simsparse.simulate import simulate

NET = Workload(
    name="net<script>",
    source="test",
    layers=(gemm_layer("a\n<b>", 96, 256, 48), gemm_layer("b", 48, 96, 32, count=3)),
)


def recorded(machine: str, *, events: int = EVENTS) -> tuple[Run, list[LayerTrace]]:
    hardware, book = load_hardware(machine), PlanBook()
    try:
        run = simulate(NET, on=hardware, prune="2:4", observe=book)
    except UnsupportedError as error:
        pytest.skip(str(error))
    return run, record(run, book, hardware, events=events)


def picoseconds(value: float) -> int:
    return round(value * 1e6)


def check(data: dict[str, Any]) -> dict[str, int]:
    """The format's rules; returns how long each lane is busy, in picoseconds."""
    assert set(data) == {"traceEvents", "displayTimeUnit", "otherData"}
    names, busy = {}, defaultdict(int)
    ends: dict[int, float] = defaultdict(float)
    last = 0.0
    flows: dict[int, list[str]] = defaultdict(list)
    for event in data["traceEvents"]:
        assert event["ph"] in "MXCsf"
        if event["ph"] == "M":
            if event["name"] == "thread_name":
                names[event["tid"]] = event["args"]["name"]
            continue
        assert event["ts"] >= last  # in order of time
        last = event["ts"]
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= ends[event["tid"]], (names[event["tid"]], event)  # no two at once
            ends[event["tid"]] = event["ts"] + event["dur"]  # as viewers add them
            busy[names[event["tid"]]] += picoseconds(event["dur"])
        elif event["ph"] == "C":
            assert list(event["args"]) == ["value"]
            assert event["args"]["value"] >= 0
        else:
            flows[event["id"]].append(event["ph"])
    assert all(steps == ["s", "f"] for steps in flows.values())
    assert len(data["traceEvents"]) == data["otherData"]["events"] <= data["otherData"]["events_limit"]
    return busy


@pytest.mark.parametrize(
    ("machine", "events"), [*((name, EVENTS) for name in names("hardware")), ("eie", 0), ("a100-80gb", 0)]
)
def test_lanes_do_one_thing_at_a_time_and_add_up(machine: str, events: int) -> None:
    run, traces = recorded(machine, events=events)
    data = json.loads(json.dumps(trace(run, traces)))
    busy = check(data)
    expected: dict[str, float] = defaultdict(float)
    for layer in traces:
        ran, times = layer.execution, layer.execution.repeat * layer.result.count * layer.tick_s * 1e12
        for channel, ticks in zip(layer.plan.channels, ran.channel_busy_ticks, strict=True):
            expected[channel.name] += float(ticks) * times
        for kind, units in (("unit", ran.unit_busy_ticks), ("decoder", ran.decode_busy_ticks)):
            for unit, ticks in enumerate(units):
                expected[f"{kind} {unit}"] += float(ticks) * times
        expected["layers"] += layer.result.time_s * layer.result.count * 1e12
        expected["launches"] += ran.overhead_ticks * layer.tick_s * layer.result.count * 1e12
    slack = 2 * sum(len(layer.execution.events) + 4 for layer in traces)
    for lane, total in expected.items():
        assert busy[lane] == pytest.approx(total, abs=slack), lane
    assert picoseconds(max(e["ts"] for e in data["traceEvents"] if "ts" in e)) <= run.totals.time_s * 1e12 + 2
    shown = data["otherData"]["layers_tile_by_tile"]
    assert shown == 0 if events == 0 else shown >= 1  # SCNN's larger layer has too many bars


def test_the_number_of_bars_is_foreseen() -> None:
    for machine in ("a100-80gb", "stc", "eie", "scnn", "tpu-like"):
        _, traces = recorded(machine)
        for layer in traces:
            assert len(layer.execution.events) <= event_count(layer.plan)


def test_counters_show_bandwidth_and_waiting_tiles() -> None:
    run, traces = recorded("tpu-like")
    counters = [event for event in trace(run, traces)["traceEvents"] if event["ph"] == "C"]
    rates = [event["args"]["value"] for event in counters if event["name"] == "dram bytes/s"]
    assert 0 < max(rates) <= run.machine.bandwidth_bytes_per_s["dram"] * 1.001  # type: ignore[union-attr]
    assert any(event["name"] == "tiles waiting" for event in counters)


def test_files(tmp_path: Path) -> None:
    run, traces = recorded("stc")
    about = write_trace(run, traces, tmp_path / "t.json")
    write_trace(run, traces, tmp_path / "t.json.gz")
    plain = (tmp_path / "t.json").read_bytes()
    assert gzip.decompress((tmp_path / "t.json.gz").read_bytes()) == plain
    assert json.loads(plain)["otherData"] == about
    assert about["events_left_out"] == 0
    names_ = [e["name"] for e in json.loads(plain)["traceEvents"] if e["ph"] == "X"]
    assert "a\\n<b>" in names_
