"""The energy of a run as a tidy table: every joule with its count, its price and the price's source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError, UsageError
from simsparse.results import LayerResult, MachineFacts, Run

if TYPE_CHECKING:
    import pandas as pd

PJ = 1e-12
STATIC = "static"
COLUMNS = ("layer", "component", "action", "count", "pj_per_action", "joules", "source")
ENDINGS = (".csv", ".json", ".parquet")


def energy(run: Run) -> pd.DataFrame:
    """One row per layer, component and action, for all instances of a layer.

    ``joules`` = ``count`` × ``pj_per_action`` × 1e-12, and ``joules`` adds up to the run's ``energy_j``.
    Static power is counted in picoseconds: a watt is a picojoule each.

    Raises
    ------
    UsageError
        If the run does not know its machine.
    """
    import pandas as pd

    if run.machine is None:
        raise UsageError(
            f"energy: expected a run that knows its machine, got one without (simulate {run.model} again)"
        )
    rows = [row for layer in run.layers for row in _rows(layer, run.machine)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs = {"model": run.model, "hardware": run.hardware, "pattern": run.pattern, "seed": run.seed}
    return table


def write_energy(run: Run, path: str | Path) -> None:
    """Write :func:`energy` as CSV, JSON (a list of rows) or Parquet, by the ending of ``path``.

    Raises
    ------
    FileError
        If the ending is another, the file cannot be written, or Parquet needs a package that is missing.
    """
    file = Path(path)
    if file.suffix.lower() not in ENDINGS:
        raise FileError([f"{path}: expected a name ending in {', '.join(ENDINGS)}, got {file.name}"])
    table = energy(run)
    try:
        if file.suffix.lower() == ".csv":
            table.to_csv(file, index=False, lineterminator="\n")
        elif file.suffix.lower() == ".json":
            file.write_text(json.dumps(table.to_dict("records"), indent=1, allow_nan=False) + "\n", "utf-8")
        else:
            table.to_parquet(file, index=False)
    except OSError as error:
        raise FileError([f"{path}: expected a writable file, got: {error.strerror}"]) from None
    except ImportError:
        raise FileError(
            [f'{path}: expected pyarrow for Parquet, got none (pip install "simsparse[parquet]")']
        ) from None


def _rows(layer: LayerResult, machine: MachineFacts) -> Iterator[tuple[Any, ...]]:
    for (component, action), count in layer.counts.items():
        price = machine.energy_pj[component][action]
        number = machine.numbers.get(f"energy_pj.{component}.{action}")
        source = number.source if number else ""
        total = float(count * layer.count)
        yield layer.name, component, action, total, price, total * price * PJ, source
    picoseconds = layer.time_s * layer.count / PJ
    number = machine.numbers.get("static_w")
    source = number.source if number else ""
    joules = machine.static_w * layer.time_s * layer.count
    yield layer.name, STATIC, "picosecond", picoseconds, machine.static_w, joules, source
