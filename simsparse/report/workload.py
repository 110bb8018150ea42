"""A model's layers in a terminal, before any pruning."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from simsparse.ir import Layer, Workload
from simsparse.report.lists import print_list
from simsparse.report.plain import plain
from simsparse.units import percent, si

if TYPE_CHECKING:
    from rich.console import Console


def print_workload(console: Console, workload: Workload, *, all_layers: bool = False) -> None:
    """Print the products of a model; other layers as one line per kind unless ``all_layers``."""
    console.print(Text(f"{plain(workload.name)} (batch {workload.batch})", style="bold"))
    console.print(Text(f"source: {plain(workload.source)}"))
    macs, weights = workload.macs, weight_elements(workload)
    console.print(
        Text(
            f"{si(macs, 'MAC')}, {si(weights, 'weights')}, {_instances(workload.layers)} layers", style="bold"
        )
    )
    console.print()
    console.print(_table(workload, all_layers=all_layers))
    print_list(
        console, "Not simulated", tuple(f"{part.name}: {part.reason}" for part in workload.unsupported)
    )
    print_list(console, "Notes", workload.notes)


def workload_to_dict(workload: Workload) -> dict[str, Any]:
    """A model as plain data: totals, and each layer's sizes."""
    return {
        "name": workload.name,
        "source": workload.source,
        "batch": workload.batch,
        "macs": workload.macs,
        "weights": weight_elements(workload),
        "layers": [
            {
                "name": layer.name,
                "kind": str(layer.kind),
                "m": layer.m,
                "k": layer.k,
                "n": layer.n,
                "groups": layer.groups,
                "count": layer.count,
                "macs": layer.macs,
                "weights": layer.weight_elements,
                "operations": layer.operations,
                "input_elements": layer.input_elements,
                "output_elements": layer.output_elements,
            }
            for layer in workload.layers
        ],
        "unsupported": [{"name": part.name, "reason": part.reason} for part in workload.unsupported],
        "notes": list(workload.notes),
    }


def weight_elements(workload: Workload) -> int:
    """Weights of all layers."""
    return sum(layer.weight_elements * layer.count for layer in workload.layers)


def _table(workload: Workload, *, all_layers: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("layer", "kind", "m×k×n", "groups", "count", "MACs", "share", "weights"):
        table.add_column(head, justify="left" if head in ("layer", "kind") else "right", overflow="fold")
    total = workload.macs
    for layer in workload.layers:
        if layer.kind.is_product:
            table.add_row(*map(Text, _product(layer, total)))
        elif all_layers:
            table.add_row(
                *map(Text, (plain(layer.name), layer.kind, "", "", str(layer.count), "", "", "")), style="dim"
            )
    rest = sorted((la for la in workload.layers if not la.kind.is_product), key=lambda la: la.kind)
    for kind, members in groupby([] if all_layers else rest, key=lambda la: la.kind):
        count = _instances(tuple(members))
        table.add_row(*map(Text, (f"all {kind}", kind, "", "", str(count), "", "", "")), style="dim")
    return table


def _product(layer: Layer, total: int) -> tuple[str, ...]:
    macs = layer.macs * layer.count
    return (
        plain(layer.name),
        str(layer.kind),
        f"{layer.m}×{layer.k}×{layer.n}",
        str(layer.groups) if layer.groups > 1 else "",
        str(layer.count),
        si(macs, "").strip(),
        percent(macs / total),
        si(layer.weight_elements * layer.count, "").strip() if layer.weight_elements else "",
    )


def _instances(layers: tuple[Layer, ...]) -> int:
    return sum(layer.count for layer in layers)
