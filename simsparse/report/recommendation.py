"""A recommendation in a terminal and as JSON: each layer's format, and from which sparsity on it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from rich.table import Table
from rich.text import Text

from simsparse.report.lists import print_list
from simsparse.report.plain import plain
from simsparse.report.sentences import unsupported_lines, verdict
from simsparse.results import Run
from simsparse.units import percent, ratio, si

if TYPE_CHECKING:
    from rich.console import Console


class ChoiceLike(Protocol):
    """What is told of one layer."""

    @property
    def name(self) -> str: ...
    @property
    def m(self) -> int: ...
    @property
    def k(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def weight_density(self) -> float: ...
    @property
    def format(self) -> str: ...
    @property
    def time_s(self) -> float: ...
    @property
    def speedup(self) -> float: ...
    @property
    def best_sparse(self) -> str: ...
    @property
    def pays_from(self) -> float | None: ...


def print_recommendation(console: Console, run: Run, layers: Sequence[ChoiceLike]) -> None:
    """The verdict on the whole, then a line for each layer with weights."""
    first, *rest = verdict(run)
    console.print(Text(first, style="bold"))
    for line in rest:
        console.print(Text(line))
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for head in ("layer", "m×k×n", "density", "format", "time", "speed-up", "pays from"):
        left = head in ("layer", "format", "pays from")
        table.add_column(head, justify="left" if left else "right", overflow="fold")
    for layer in layers:
        cells = (
            plain(layer.name),
            f"{layer.m}×{layer.k}×{layer.n}",
            f"{layer.weight_density:.3f}",
            plain(layer.format),
            si(layer.time_s * layer.count, "s"),
            ratio(layer.speedup),
            _pays(layer),
        )
        table.add_row(*map(Text, cells), style="" if layer.format != "dense" else "dim")
    console.print(table)
    print_list(console, "Not simulated", unsupported_lines(run))
    print_list(console, "Approximations", run.approximations)


def recommendation_to_dict(run: Run, layers: Sequence[Any]) -> dict[str, Any]:
    """A recommendation as plain data."""
    return {
        "schema_version": 1,
        "model": run.model,
        "hardware": run.hardware,
        "pattern": run.pattern,
        "dtype": run.dtype,
        "speedup": run.speedup,
        "energy_ratio": run.energy_ratio,
        "memory_ratio": run.memory_ratio,
        "time_s": run.totals.time_s,
        "energy_j": run.totals.energy_j,
        "layers": [{**asdict(layer), "speedup": layer.speedup} for layer in layers],
    }


def _pays(layer: ChoiceLike) -> str:
    if layer.pays_from is not None:
        return f"{percent(layer.pays_from)} ({plain(layer.best_sparse)})"
    return (
        ""
        if layer.format.partition(":")[0] in (layer.best_sparse, "dense") and not layer.best_sparse
        else "-"
    )
