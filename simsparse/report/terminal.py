"""A run in a terminal: the verdict first, then the layers, then what is left out, then what to try next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from simsparse.hardware import HardwareModel
from simsparse.report.layer_table import layer_table
from simsparse.report.lists import print_list
from simsparse.report.plain import plain
from simsparse.report.sentences import advice, unsupported_lines, verdict
from simsparse.results import Run

if TYPE_CHECKING:
    from rich.console import Console


def print_run(
    console: Console, run: Run, *, hardware: HardwareModel | None = None, all_layers: bool = False
) -> None:
    """Print ``run``; with its machine also what that machine's model leaves out."""
    first, *rest = verdict(run)
    console.print(Text(first, style="bold"))
    for line in rest:
        console.print(Text(line))
    console.print()
    console.print(layer_table(run, width=console.width, all_layers=all_layers))
    if any(layer.count > 1 for layer in run.layers):
        console.print(Text("time, share and energy are for all instances (count) of a layer", style="dim"))
    print_list(console, "Not simulated", unsupported_lines(run))
    print_list(console, "Approximations", run.approximations)
    print_list(console, f"Not modelled on {plain(run.hardware)}", hardware.not_modelled if hardware else ())
    following = advice(run, hardware)
    if following:
        console.print()
        console.print(Text("Next: "), Text(following, style="bold"), sep="", soft_wrap=True)
