"""``simsparse list`` and ``simsparse show``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.output import console, print_json
from simsparse.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from simsparse.ir import Workload

Kind = Literal[
    "hardware", "workloads", "formats", "patterns", "profiles", "criteria", "allocations", "targets", "dtypes"
]


def list_names(kind: Annotated[Kind, Parameter(help="What to list.")], /, *, json: o.Json = False) -> None:
    """List what there is: hardware, workloads, formats, patterns, …"""
    from rich.table import Table
    from rich.text import Text

    from simsparse.cli.listing import entries
    from simsparse.report.plain import plain

    found = entries(kind)
    if json:
        print_json([{"name": name, "about": about} for name, about in found])
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, about in found:
        table.add_row(Text(plain(name)), Text(plain(about)))
    console().print(table)


def show(
    name: Annotated[
        str | None, Parameter(help="A machine or a model: bundled name, file or inline layer.")
    ] = None,
    /,
    *,
    batch: o.Batch = None,
    seq: o.Seq = None,
    columns: o.Columns = None,
    all_layers: o.AllLayers = False,
    template: Annotated[
        Literal["accelerator", "gpu", "cpu"] | None,
        Parameter("--template", help="Print the YAML of a machine of this kind, to start your own from."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Show a machine with the source of each number, or the layers of a model."""
    if template is not None:
        from simsparse.cli.listing import template_text

        sys.stdout.write(template_text(template))
        return
    if name is None:
        raise UsageError("show: expected a name, got nothing (simsparse list hardware, or list workloads)")
    if _is_machine(name):
        _show_machine(name, json=json)
    else:
        from simsparse.load.catalog import load_model

        workload = load_model(name, batch=batch, seq=seq, columns=columns)
        _show_workload(workload, all_layers=all_layers, json=json)


def _is_machine(name: str) -> bool:
    from simsparse.load.catalog import names
    from simsparse.load.checking import yaml_kind
    from simsparse.load.files.open_file import file_kind
    from simsparse.load.inline import is_inline

    if name.lower().endswith((".yaml", ".yml")):
        return yaml_kind(name) == "hardware"
    if name in names("hardware"):
        return True
    if name in names("workload") or is_inline(name) or name.lower().endswith(".onnx"):
        return False
    if file_kind(name) is None:
        known = [*names("hardware"), *names("workload")]
        raise UnknownNameError("show", name, known, hint="simsparse list hardware, or list workloads")
    return False


def _show_machine(name: str, *, json: bool) -> None:
    from simsparse.load.catalog import load_hardware
    from simsparse.report.machine import machine_to_dict, print_machine

    machine = load_hardware(name)
    if json:
        print_json(machine_to_dict(machine))
    else:
        print_machine(console(), machine)


def _show_workload(workload: Workload, *, all_layers: bool, json: bool) -> None:
    from simsparse.report.workload import print_workload, workload_to_dict

    if json:
        print_json(workload_to_dict(workload))
    else:
        print_workload(console(), workload, all_layers=all_layers)
