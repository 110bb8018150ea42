"""A run read back from its JSON file; what was cut off, edited or written by a newer version is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError
from simsparse.ir import LayerKind, Unsupported
from simsparse.report.json import SCHEMA_VERSION, run_to_dict
from simsparse.report.schema import run_schema
from simsparse.results import (
    Cost,
    Counts,
    Explanation,
    LayerResult,
    MachineFacts,
    Run,
    SourcedNumber,
    Term,
)

if TYPE_CHECKING:
    import pandas as pd

_SUMMED = ("time_s", "energy_j", "dram_bytes", "macs_dense", "macs_done")
_ROUNDING = 1e-9
_AGAIN = "write it again with simsparse simulate --json"


def read_run(path: str | Path) -> Run:
    """The run that ``simsparse simulate --json`` wrote to ``path``.

    Raises
    ------
    FileError
        If the file is no such run, comes from a newer version, or its figures contradict each other.
    """
    data = _parsed(path)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        out = "update simsparse" if version > SCHEMA_VERSION else _AGAIN
        raise FileError([f"{path}: schema_version: expected {SCHEMA_VERSION}, got {version} ({out})"])
    mistake = next(mistakes(run_schema(), data), None) or _unknown_kind(data)
    if mistake is None:
        run = _run(data)
        mistake = _contradiction(run, data)
        if mistake is None:
            return run
    raise FileError([f"{path}: {mistake} ({_AGAIN})"])


def read_measured(path: str | Path) -> pd.DataFrame:
    """Predicted and measured time by layer, from what ``simsparse measure --json`` wrote to ``path``.

    Raises
    ------
    FileError
        If the file is no measurement.
    """
    import pandas as pd

    data = _parsed(path)
    rows = data.get("layers") if isinstance(data, dict) else None
    keys = ("name", "predicted_s", "time_s")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(keys) <= set(row) for row in rows):
        raise FileError(
            [f"{path}: expected a measurement with layers, got something else (simsparse measure --json)"]
        )
    table = pd.DataFrame([[row[key] for key in keys] for row in rows], columns=list(keys))
    table = table.rename(columns={"name": "layer", "time_s": "measured_s"})
    return table.astype({"predicted_s": float, "measured_s": float})


def _parsed(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise FileError([f"{path}: expected a run to read, got: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise FileError([f"{path}: expected JSON in UTF-8, got other bytes ({_AGAIN})"]) from None
    except RecursionError:
        raise FileError([f"{path}: expected a run, got JSON nested too deeply ({_AGAIN})"]) from None
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise FileError([f"{where}: expected JSON, got: {error.msg} (cut off? {_AGAIN})"]) from None


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "null": (type(None),),
}


def mistakes(schema: Mapping[str, Any], data: Any, where: str = "") -> Iterator[str]:
    """What in ``data`` does not fit a schema made of the words that ours uses."""
    name = where or "run"
    if "const" in schema:
        if data != schema["const"]:
            yield f"{name}: expected {schema['const']}, got {_shown(data)}"
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    allowed = tuple(kind for name_ in kinds for kind in _TYPES[name_])
    if not isinstance(data, allowed) or (isinstance(data, bool) and bool not in allowed):
        yield f"{name}: expected {' or '.join(kinds)}, got {_shown(data)}"
    elif isinstance(data, dict):
        yield from _object_mistakes(schema, data, where)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from mistakes(schema["items"], item, f"{where}[{index}]")
    elif isinstance(data, int | float) and not _in_range(schema, data):
        bounds = f"{schema.get('minimum', '')} to {schema.get('maximum', '')}".strip()
        yield f"{name}: expected a number from {bounds}, got {_shown(data)}"


def _in_range(schema: Mapping[str, Any], value: float) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return math.isfinite(value) and low <= value <= high


def _object_mistakes(schema: Mapping[str, Any], data: Mapping[str, Any], where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in data:
            yield f"{_joined(where, key)}: expected a value, got nothing"
    for key, value in data.items():
        inner = known.get(key) or others
        if not inner:
            yield f"{_joined(where, key)}: expected no such key, got {_shown(value)}"
        else:
            yield from mistakes(inner, value, _joined(where, key))


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _unknown_kind(data: Mapping[str, Any]) -> str | None:
    for group in ("layers", "baseline_layers"):
        for index, layer in enumerate(data[group]):
            if layer["kind"] not in set(LayerKind):
                return f"{group}[{index}].kind: expected a kind of layer, got {_shown(layer['kind'])}"
    return None


def _contradiction(run: Run, data: Mapping[str, Any]) -> str | None:
    """A figure that does not follow from the others, as editing one by hand leaves it."""
    for where, got, follows in _differences(data, run_to_dict(run), ""):
        return f"{where}: expected {_shown(follows)}, which the other figures give, got {_shown(got)}"
    for name, total, layers in (
        ("totals", run.totals, run.layers),
        ("baseline", run.baseline, run.baseline_layers),
    ):
        for figure in _SUMMED:
            added = math.fsum(getattr(layer.cost, figure) * layer.count for layer in layers)
            if not math.isclose(getattr(total, figure), added, rel_tol=_ROUNDING, abs_tol=1e-30):
                got = getattr(total, figure)
                return f"{name}.{figure}: expected {added!r}, the sum over layers, got {got!r}"
    return None


def _differences(got: Any, follows: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(got, dict) and isinstance(follows, dict):
        for key, value in got.items():
            yield from _differences(value, follows.get(key), _joined(where, key))
    elif isinstance(got, list) and isinstance(follows, list) and len(got) == len(follows):
        for index, (left, right) in enumerate(zip(got, follows, strict=True)):
            yield from _differences(left, right, f"{where}[{index}]")
    elif got != follows:
        yield where, got, follows


def _run(data: Mapping[str, Any]) -> Run:
    made: dict[str, Any] = {
        "layers": tuple(map(_layer, data["layers"])),
        "baseline_layers": tuple(map(_layer, data["baseline_layers"])),
        "totals": _cost(data["totals"]),
        "baseline": _cost(data["baseline"]),
        "baseline_name": data["baseline"]["name"],
        "approximations": tuple(data["approximations"]),
        "unsupported": tuple(Unsupported(**part) for part in data["unsupported"]),
        "machine": _machine(data["machine"]),
        "explanation": _explanation(data["explanation"]),
    }
    plain = {item.name: data[item.name] for item in fields(Run) if item.name not in made}
    return Run(**plain, **made)


def _layer(data: Mapping[str, Any]) -> LayerResult:
    pairs = {(part, action): n for part, table in data["counts"].items() for action, n in table.items()}
    made: dict[str, Any] = {
        "counts": Counts(pairs),
        "cost": _cost(data),
        "unit_load": tuple(data["unit_load"]),
    }
    plain = {item.name: data[item.name] for item in fields(LayerResult) if item.name not in made}
    return LayerResult(**plain, **made)


def _cost(data: Mapping[str, Any]) -> Cost:
    return Cost(**{item.name: data[item.name] for item in fields(Cost)})


def _machine(data: Mapping[str, Any] | None) -> MachineFacts | None:
    if data is None:
        return None
    numbers = {
        path: SourcedNumber(**(number | {"value": _number(number["value"])}))
        for path, number in data["numbers"].items()
    }
    return MachineFacts(**{**data, "numbers": numbers, "not_modelled": tuple(data["not_modelled"])})


def _number(value: float | list[float]) -> float | tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else value


def _explanation(data: Mapping[str, Any] | None) -> Explanation | None:
    return None if data is None else Explanation(**{**data, "terms": tuple(Term(**t) for t in data["terms"])})
