"""A measurement as one JSON object, a table for a terminal, and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from simsparse.measurement import LayerMeasurement, Measurement
from simsparse.report.lists import print_list
from simsparse.report.plain import plain
from simsparse.units import ratio, si

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
WIDE = 110
"""From this width on every column is shown."""
_HEADS = ("layer", "m×k×n", "dens.", "format", "kernel", "time", "±", "dense", "gain", "GFLOP/s", "GB/s")
_HOST_HEADS = ("peak", "predicted", "error")
_NARROW = ("layer", "dens.", "kernel", "time", "±", "dense", "gain", "GFLOP/s")
_NARROW_HOST = ("layer", "dens.", "kernel", "time", "dense", "gain", "predicted", "error")
_LEFT = frozenset({"layer", "format", "kernel"})


def measurement_to_json(measurement: Measurement) -> str:
    """The JSON text, without a line break at its end."""
    return json.dumps(measurement_to_dict(measurement), indent=2, ensure_ascii=True, allow_nan=False)


def measurement_to_dict(measurement: Measurement) -> dict[str, Any]:
    """Plain data; what was not measured is None."""
    data = asdict(measurement)
    layers = [layer_to_dict(layer) for layer in measurement.layers]
    data |= {"speedup": measurement.speedup, "layers": layers, "versions": dict(measurement.versions)}
    return {"schema_version": SCHEMA_VERSION, **_finite(data)}


def layer_to_dict(layer: LayerMeasurement) -> dict[str, Any]:
    """One layer's figures, the derived ones included."""
    derived = {
        "flops_per_s": layer.flops_per_s,
        "bytes_per_s": layer.bytes_per_s,
        "speedup": layer.speedup,
        "prediction_error": layer.prediction_error,
    }
    return {**asdict(layer), **derived}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_measurement_csv(measurement: Measurement, path: Path) -> None:
    """One row per layer; numbers keep all their digits."""
    rows = [layer_to_dict(layer) | {"notes": "; ".join(layer.notes)} for layer in measurement.layers]
    names = list(rows[0]) if rows else ["name"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_measurement(console: Console, measurement: Measurement, *, all_layers: bool = False) -> None:
    """The verdict, the table, what to know about it."""
    for line in sentences(measurement):
        console.print(Text(line, style="bold" if line.startswith(plain(measurement.model)) else ""))
    console.print()
    console.print(_table(measurement, width=console.width, all_layers=all_layers))
    print_list(console, "Notes", [plain(note) for note in measurement.notes])


def sentences(measurement: Measurement) -> list[str]:
    """What was found, in words."""
    said = measurement
    if said.time_s is None:
        return [f"{plain(said.model)}: interrupted before the first run ended"]
    gain = "" if said.speedup is None else f", {ratio(said.speedup)} the speed of {said.dense_name}"
    threads = "1 thread" if said.threads == 1 else f"{said.threads} threads"
    lines = [f"{plain(said.model)}, {said.pattern}, {threads}: {si(said.time_s, 's')} a run{gain}"]
    if said.dense_s is not None:
        spread = f"spread {_percent(said.spread)} and {_percent(said.dense_spread)}"
        lines.append(f"dense takes {si(said.dense_s, 's')}; medians of {said.runs} runs each, {spread}")
    if said.interrupted:
        lines.append("interrupted: what was measured until then")
    if said.predicted_s is not None:
        lines.append(f"{said.host} predicts {si(said.predicted_s, 's')} for the layers that it knows")
    if said.energy_j is not None:
        lines.append(f"{si(said.energy_j, 'J')} a run in the processor's package")
    memory = f"{si(said.peak_activation_bytes, 'B')} of activations, {si(said.weight_bytes, 'B')} of weights"
    return [*lines, f"memory: {memory}; loading took {si(said.loading_s, 's')}"]


def _table(measurement: Measurement, *, width: int, all_layers: bool) -> Table:
    """Columns that do not fit are left out; JSON and CSV have them all."""
    every = (*_HEADS, *_HOST_HEADS)
    heads: Sequence[str]
    if width >= WIDE:
        heads = every if measurement.host else _HEADS
    else:
        heads = _NARROW_HOST if measurement.host else _NARROW
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    for head in heads:
        left = head in _LEFT
        table.add_column(head, justify="left" if left else "right", overflow="fold", no_wrap=head != "layer")
    rows = [(_cells(layer), "") for layer in measurement.layers if layer.m or all_layers]
    if not all_layers:
        rows += [(row, "dim") for row in _others(measurement.layers)]
    for row, style in rows:
        cells = dict(zip(every, row, strict=False))
        table.add_row(*(Text(cells.get(head, "")) for head in heads), style=style)
    return table


def _cells(layer: LayerMeasurement) -> Sequence[str]:
    is_product = layer.m > 0
    return (
        plain(layer.name),
        f"{layer.m}×{layer.k}×{layer.n}" if is_product else "",
        f"{layer.weight_density:.3f}" if is_product else "",
        plain(layer.format),
        layer.kernel or layer.kind,
        si(layer.time_s, "s"),
        _percent(layer.spread),
        "" if layer.dense_s is None else si(layer.dense_s, "s"),
        "" if layer.speedup is None else ratio(layer.speedup),
        f"{layer.flops_per_s * 1e-9:.1f}" if is_product else "",
        f"{layer.bytes_per_s * 1e-9:.1f}" if is_product else "",
        _percent(layer.peak_share),
        "" if layer.predicted_s is None else si(layer.predicted_s, "s"),
        "" if layer.prediction_error is None else f"{100 * layer.prediction_error:+.0f}%",
    )


def _others(layers: Sequence[LayerMeasurement]) -> Iterator[Sequence[str]]:
    """Operators that are no product, one line per kind, the slowest kind first."""

    def kind(layer: LayerMeasurement) -> str:
        return layer.kind

    rest = sorted((layer for layer in layers if not layer.m), key=kind)
    groups = [(name, list(members)) for name, members in groupby(rest, kind)]
    for name, members in sorted(groups, key=lambda group: -sum(layer.time_s for layer in group[1])):
        time_s = sum(layer.time_s for layer in members)
        yield (f"all {len(members)} {plain(name)}", "", "", "", "", si(time_s, "s"))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f}%"
