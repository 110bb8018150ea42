"""The commands by name; each is imported when it is called."""

from __future__ import annotations

from cyclopts import App

from simsparse import __version__

_COMMANDS = {
    "simulate": (
        "simulate:simulate",
        "Simulate a model on a machine: verdict, table of layers, what to try next.",
    ),
    "explain": ("explain:explain", "Show where the speed-up went, cause by cause."),
    "report": ("report:report", "Write a finished run as an HTML page or tables, without simulating again."),
    "pareto": ("pareto:pareto", "Find the published sparse network that is best per joule on a machine."),
    "calibrate": ("calibrate:calibrate", "Measure this host once, to be simulated as --on host."),
    "sweep": ("sweep:sweep", "Simulate all combinations of lists; Pareto front, crossovers, best formats."),
    "measure": ("measure:measure", "Run a pruned model on this host, beside the best dense library."),
    "recommend": (
        "recommend:recommend",
        "Find the best format of each layer, and the sparsity from which on it pays.",
    ),
    "validate": ("validate:validate", "Compare our results with published ones."),
    "list": ("discover:list_names", "List what there is: hardware, workloads, formats, patterns, …"),
    "show": ("discover:show", "Show a machine with the source of each number, or the layers of a model."),
    "check": (
        "check:check",
        "Check files of machines, workloads, models, studies, plans; print every mistake.",
    ),
    "schema": ("check:schema", "Print the JSON Schema of a kind of file, or of a result."),
    "export": ("export:export", "Write a pruned model as ONNX."),
    "doctor": ("doctor:doctor", "Check this installation."),
}

app = App(
    name="simsparse",
    help="Does this sparsity pay, on this machine, in this format, and what eats the rest of the gain?",
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
for _order, (_name, (_target, _help)) in enumerate(_COMMANDS.items()):
    app.command(f"simsparse.cli.{_target}", name=_name, help=_help, sort_key=_order)
