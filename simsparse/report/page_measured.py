"""A measurement as one self-contained HTML page: what ran here, beside dense and predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsparse.measurement import LayerMeasurement, Measurement
from simsparse.report.figures.measured import measured_scatter
from simsparse.report.figures.measured_times import measured_times
from simsparse.report.measured import sentences
from simsparse.report.page import render
from simsparse.report.page_cells import Cell, cell, file_name, word
from simsparse.report.plain import plain
from simsparse.report.sentences import NO_CHANGE
from simsparse.units import percent, ratio, si

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    ("layer", "layer", False),
    ("kind", "operator", False),
    ("shape", "m×k×n", False),
    ("weight_density", "density", True),
    ("format", "format", False),
    ("kernel", "kernel", False),
    ("time_s", "time", True),
    ("spread", "spread", True),
    ("dense_s", "dense", True),
    ("speedup", "speed-up", True),
    ("flops_per_s", "FLOP/s", True),
    ("bytes_per_s", "B/s", True),
    ("predicted_s", "predicted", True),
    ("prediction_error", "error", True),
)


def measurement_html(measurement: Measurement) -> str:
    """The page of a measurement, as text."""
    predicted = _predicted(measurement)
    figures = [measured_times(measurement)]
    if not predicted.empty:
        figures.append(measured_scatter(predicted))
    first, *more = sentences(measurement)
    return render(
        "measured.html",
        title=f"{plain(measurement.model)}, measured",
        figures=figures,
        heading=plain(measurement.model),
        facts=_facts(measurement),
        verdict=first,
        more=[f"{'; '.join(more)}."] if more else [],
        tiles=_tiles(measurement),
        layers=_layers(measurement),
        notes=[plain(note) for note in measurement.notes],
        versions=measurement.versions,
        seed=measurement.seed,
    )


def _predicted(measurement: Measurement) -> pd.DataFrame:
    """A row for each layer that has a prediction."""
    import pandas as pd

    rows = [
        (layer.name, layer.predicted_s, layer.time_s)
        for layer in measurement.layers
        if layer.predicted_s is not None
    ]
    return pd.DataFrame(rows, columns=["layer", "predicted_s", "measured_s"])


def _facts(measurement: Measurement) -> list[str]:
    threads = "1 thread" if measurement.threads == 1 else f"{measurement.threads} threads"
    return [
        plain(measurement.pattern),
        f"format {plain(measurement.format)}",
        f"batch {measurement.batch}",
        threads,
        f"{measurement.runs} runs",
    ]


def _tiles(measurement: Measurement) -> list[dict[str, Any]]:
    said = measurement
    tiles = []
    if said.speedup is not None:
        mood = "good" if said.speedup >= 1 + NO_CHANGE else "bad" if said.speedup <= 1 - NO_CHANGE else "even"
        mark = {"good": " ▲", "bad": " ▼", "even": ""}[mood]
        beside = f"beside {plain(said.dense_name)}"
        tiles.append(_tile("Speed-up", said.speedup, f"{ratio(said.speedup)}{mark}", beside, mood))
    if said.time_s is not None:
        spread = "" if said.spread is None else f"spread {percent(said.spread)}"
        tiles.append(_tile("Time of a run", said.time_s, si(said.time_s, "s"), spread))
    if said.predicted_s is not None:
        where = f"of the layers that {plain(said.host)} knows"
        tiles.append(_tile("Predicted", said.predicted_s, si(said.predicted_s, "s"), where))
    if said.energy_j is not None:
        package = "a run, in the processor's package"
        tiles.append(_tile("Energy", said.energy_j, si(said.energy_j, "J"), package))
    tiles.append(_tile("Weights", said.weight_bytes, si(said.weight_bytes, "B"), "packed for our kernels"))
    return tiles


def _tile(name: str, value: float, text: str, detail: str, mood: str = "even") -> dict[str, Any]:
    return {"name": name, "value": repr(value), "text": text, "mood": mood, "detail": detail}


def _layers(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": "layers",
        "title": "Operators",
        "hint": "name, operator, format, kernel",
        "file": f"{file_name(measurement.model)}-measured.csv",
        "columns": [{"key": key, "title": title, "number": numeric} for key, title, numeric in _COLUMNS],
        "rows": [_row(layer) for layer in measurement.layers],
        "note": "Medians; the spread is from first to last decile. FLOP/s count the weights that are left.",
    }


def _row(layer: LayerMeasurement) -> list[Cell]:
    is_product = layer.m > 0
    return [
        cell(layer.name, plain(layer.name)),
        word(plain(layer.kind)),
        word(f"{layer.m}×{layer.k}×{layer.n}" if is_product else ""),
        cell(layer.weight_density, f"{layer.weight_density:.3f}") if is_product else word(""),
        word(plain(layer.format)),
        word(plain(layer.kernel)),
        cell(layer.time_s, si(layer.time_s, "s")),
        cell(layer.spread, percent(layer.spread)),
        _seconds(layer.dense_s),
        word("") if layer.speedup is None else cell(layer.speedup, ratio(layer.speedup)),
        cell(layer.flops_per_s, si(layer.flops_per_s, "")) if is_product else word(""),
        cell(layer.bytes_per_s, si(layer.bytes_per_s, "")) if is_product else word(""),
        _seconds(layer.predicted_s),
        word("")
        if layer.prediction_error is None
        else cell(layer.prediction_error, f"{100 * layer.prediction_error:+.0f} %"),
    ]


def _seconds(value: float | None) -> Cell:
    return word("") if value is None else cell(value, si(value, "s"))
