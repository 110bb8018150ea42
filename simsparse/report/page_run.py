"""What the template of a run's page is filled with, as plain texts and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simsparse.ir import LayerKind
from simsparse.load.wording import number
from simsparse.report.page_cells import Cell, cell, file_name, word
from simsparse.report.plain import plain
from simsparse.report.sentences import NO_CHANGE, unsupported_lines, verdict
from simsparse.results import Cost, LayerResult, MachineFacts, Run
from simsparse.units import percent, ratio, si, three_digits

_UNVERIFIED = ("memory", "assumed")


def run_context(run: Run) -> dict[str, Any]:
    """Everything of the page but its figures."""
    return {
        "run": run,
        "facts": _facts(run),
        "verdict": verdict(run),
        "tiles": _tiles(run),
        "totals": _totals(run.totals, run.baseline),
        "causes": _causes(run),
        "layers": _layers(run),
        "lists": _lists(run),
        "sources": _sources(run.machine) if run.machine else [],
        "sources_summary": _summary(run.machine) if run.machine else "",
    }


def _facts(run: Run) -> list[str]:
    machine = [run.machine.title] if run.machine else []
    return [
        *machine,
        run.pattern,
        f"format {run.format}",
        run.dtype,
        f"batch {run.batch}",
        run.criterion,
        run.allocation,
    ]


def _tiles(run: Run) -> list[dict[str, Any]]:
    ours, dense = run.totals, run.baseline

    def tile(name: str, value: float, ours_text: str, dense_text: str) -> dict[str, Any]:
        mood = "good" if value >= 1 + NO_CHANGE else "bad" if value < 1 / (1 + NO_CHANGE) else "even"
        mark = {"good": " ▲", "bad": " ▼", "even": ""}[mood]
        detail = f"{ours_text} instead of {dense_text}"
        return {
            "name": name,
            "value": repr(value),
            "text": f"{ratio(value)}{mark}",
            "mood": mood,
            "detail": detail,
        }

    return [
        tile("Speed-up", run.speedup, si(ours.time_s, "s"), si(dense.time_s, "s")),
        tile("Energy, dense ÷ this", run.energy_ratio, si(ours.energy_j, "J"), si(dense.energy_j, "J")),
        tile(
            "Weights, dense ÷ this", run.memory_ratio, si(ours.stored_bytes, "B"), si(dense.stored_bytes, "B")
        ),
        {
            "name": "Limited by",
            "value": run.bound_by,
            "text": plain(run.bound_by) or "nothing",
            "mood": "even",
            "detail": f"{percent(run.bound_share)} of the time",
        },
    ]


def _totals(ours: Cost, dense: Cost) -> list[dict[str, Any]]:
    rows: Sequence[tuple[str, Callable[[Cost], float], str]] = (
        ("time", lambda cost: cost.time_s, "s"),
        ("energy", lambda cost: cost.energy_j, "J"),
        ("average power", lambda cost: cost.average_power_w, "W"),
        ("weights as stored", lambda cost: cost.stored_bytes, "B"),
        ("of these, metadata", lambda cost: cost.metadata_bytes, "B"),
        ("DRAM traffic", lambda cost: cost.dram_bytes, "B"),
        ("largest activations", lambda cost: cost.peak_activation_bytes, "B"),
        ("multiply-adds done", lambda cost: cost.macs_done, "MAC"),
    )
    return [
        {
            "name": name,
            "ours": repr(figure(ours)),
            "dense": repr(figure(dense)),
            "ours_text": si(figure(ours), unit),
            "dense_text": si(figure(dense), unit),
            "ratio": ratio(figure(dense) / figure(ours)) if figure(ours) and figure(dense) else "",
        }
        for name, figure, unit in rows
    ]


def _causes(run: Run) -> list[dict[str, str]]:
    if run.explanation is None:
        return []
    return [
        {"name": term.name, "factor": three_digits(term.factor), "remedy": term.remedy}
        for term in sorted(run.explanation.terms, key=lambda term: term.factor)
        if term.remedy
    ]


_COLUMNS = (
    ("layer", "layer", False),
    ("kind", "kind", False),
    ("shape", "m×k×n", False),
    ("count", "count", True),
    ("weight_density", "density", True),
    ("format", "format", False),
    ("bound_by", "bound by", False),
    ("time_s", "time", True),
    ("dense_time_s", "dense", True),
    ("speedup", "speed-up", True),
    ("energy_j", "energy", True),
    ("energy_ratio", "energy ratio", True),
    ("dram_bytes", "DRAM", True),
    ("utilisation", "util.", True),
)


def _layers(run: Run) -> dict[str, Any]:
    return {
        "name": "layers",
        "title": "Layers",
        "hint": "name, kind, format, bound",
        "file": f"{file_name(run.model, run.hardware)}-layers.csv",
        "columns": [{"key": key, "title": title, "number": numeric} for key, title, numeric in _COLUMNS],
        "rows": [_row(ours, dense) for ours, dense in zip(run.layers, run.baseline_layers, strict=True)],
        "note": "Time, energy and DRAM traffic are for all instances (count); ratios are dense ÷ this run.",
    }


def _row(layer: LayerResult, dense: LayerResult) -> list[Cell]:
    time_s, energy_j = layer.time_s * layer.count, layer.energy_j * layer.count
    dram = layer.cost.dram_bytes * layer.count
    kind = LayerKind(layer.kind)
    speedup = dense.time_s / layer.time_s if layer.time_s else 1.0
    saved = dense.energy_j / layer.energy_j if layer.energy_j else 1.0
    return [
        cell(layer.name, plain(layer.name)),
        cell(layer.kind, layer.kind),
        word(f"{layer.m}×{layer.k}×{layer.n}" if kind.is_product else ""),
        cell(layer.count, str(layer.count)),
        cell(layer.weight_density, f"{layer.weight_density:.3f}") if kind.has_weights else word(""),
        word(plain(layer.format)),
        word(plain(layer.bound_by)),
        cell(time_s, si(time_s, "s")),
        cell(dense.time_s * dense.count, si(dense.time_s * dense.count, "s")),
        cell(speedup, ratio(speedup)),
        cell(energy_j, si(energy_j, "J")),
        cell(saved, ratio(saved)),
        cell(dram, si(dram, "B")),
        cell(layer.utilisation, f"{100 * layer.utilisation:.0f}%") if kind.is_product else word(""),
    ]


def _lists(run: Run) -> list[dict[str, Any]]:
    lists = (
        ("unsupported", "Not simulated", unsupported_lines(run)),
        (
            "not-modelled",
            f"Not modelled on {plain(run.hardware)}",
            run.machine.not_modelled if run.machine else (),
        ),
        ("approximations", "Approximations", run.approximations),
    )
    return [
        {"name": name, "title": title, "lines": [plain(line) for line in lines]}
        for name, title, lines in lists
        if lines
    ]


def _sources(machine: MachineFacts) -> list[dict[str, Any]]:
    return [
        {
            "path": plain(path),
            "value": ", ".join(map(number, sourced.value))
            if isinstance(sourced.value, tuple)
            else number(sourced.value),
            "unit": sourced.unit,
            "status": sourced.status,
            "loose": sourced.status in _UNVERIFIED,
            "source": plain(sourced.source),
        }
        for path, sourced in machine.numbers.items()
    ]


def _summary(machine: MachineFacts) -> str:
    given = [sourced for sourced in machine.numbers.values() if sourced.source]
    loose = sum(sourced.status in _UNVERIFIED for sourced in given)
    return f"{len(given)} numbers with a source, {loose} of them unverified (from memory or assumed)"
