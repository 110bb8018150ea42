"""Machines, models and comparisons in a terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from simsparse.ir import Workload, gemm_layer
from simsparse.load.catalog import load_hardware, load_model, names
from simsparse.load.facts import path_unit
from simsparse.load.hardware_yaml import numbers
from simsparse.report.checks import print_checks
from simsparse.report.machine import machine_to_dict, print_machine
from simsparse.report.workload import print_workload, workload_to_dict


def console(width: int = 100) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False), stream


@pytest.mark.parametrize("name", names("hardware"))
@pytest.mark.parametrize("width", [80, 140])
def test_every_number_of_a_machine_is_shown_with_its_source(name: str, width: int) -> None:
    machine = load_hardware(name)
    out, stream = console(width)
    print_machine(out, machine)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    squeezed = "".join(text.split())
    for path, _ in numbers(machine):
        if width > 100:
            assert path in squeezed, path
    for source in machine.sources.values():
        assert "".join(source.text.split()) in squeezed
    unverified = sum(source.status in ("memory", "assumed") for source in machine.sources.values())
    assert text.count(", UNVERIFIED") == unverified


def test_units_come_from_names() -> None:
    units = {
        "clock_hz": "Hz",
        "memory.dram.bandwidth_bytes_per_s": "bytes per second",
        "energy_pj.dram.byte": "pJ",
        "macs_per_cycle.int8": "per cycle",
        "formats.nm.parameters.keep": "",
        "dataflow.run_bits": "bits",
    }
    assert {path: path_unit(path) for path in units} == units


def test_a_machine_as_data() -> None:
    data = machine_to_dict(load_hardware("stc"))
    assert data["numbers"]["clock_hz"]["status"] == "assumed"
    assert data["numbers"]["dataflow.tile_n"]["value"] == [64, 128]
    assert data["numbers"]["memory.dram.latency_s"] == {
        "value": 0.0,
        "unit": "s",
        "source": None,
        "status": "default",
    }


def test_a_model_with_its_totals() -> None:
    workload = load_model("resnet50")
    out, stream = console(80)
    print_workload(out, workload)
    lines = stream.getvalue().splitlines()
    assert any(line.startswith("4.09 GMAC, 25.5 Mweights") for line in lines)
    assert sum(line.startswith("all ") for line in lines) >= 2
    data = workload_to_dict(workload)
    assert sum(layer["macs"] * layer["count"] for layer in data["layers"]) == data["macs"] == workload.macs
    assert data["weights"] == sum(layer["weights"] * layer["count"] for layer in data["layers"])


def test_hostile_names_in_a_model() -> None:
    hostile = Workload(name="[red]x\x1b[1m", layers=(gemm_layer("[bold]\n", 2, 2, 2),), source="\x07")
    out, stream = console()
    print_workload(out, hostile, all_layers=True)
    assert stream.getvalue().startswith("[red]x\\x1b[1m (batch 1)\nsource: \\x07\n")
    assert "[bold]\\n" in stream.getvalue()


@dataclass(frozen=True)
class Compared:
    target: str = "eie"
    row: str = "fc6"
    quantity: str = "time"
    ours: float = 27.8
    published: float = 28.1
    unit: str = "us"
    error: float = -0.0107
    tolerance: float = 0.1
    relative: bool = True
    ok: bool = True
    kind: str = "hardware"
    source: str = "Table IV"
    note: str = ""
    known_short: str = ""


def test_comparisons_with_published_rows() -> None:
    out, stream = console()
    print_checks(
        out, [Compared(), Compared(row="fc7", ok=False, error=0.3), Compared(relative=False, error=0.01)]
    )
    text = stream.getvalue()
    assert "-1.1%" in text
    assert "+30.0%" in text
    assert "MISSED" in text
    assert "+0.01" in text
    assert text.strip().endswith("2 of 3 rows within tolerance, largest relative error 30.0 %")


def test_a_row_known_to_be_short_is_shown_as_missed_with_its_reason() -> None:
    out, stream = console()
    print_checks(out, [Compared(ok=False, error=0.3, known_short="the table omits the batch")])
    text = stream.getvalue()
    assert "MISSED, known" in text
    assert "the table omits the batch" in text
    assert text.strip().endswith("0 of 1 rows within tolerance, largest relative error 30.0 %")
