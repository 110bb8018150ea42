"""The JSON Schema of a machine's YAML, in which every number is written with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simsparse.load.hardware_yaml import hardware_adapter
from simsparse.load.sourced import STATUSES

_SOURCE = {
    "source": {"type": "string", "minLength": 1, "description": "A key of sources:, or the source itself."},
    "status": {"enum": list(STATUSES), "default": STATUSES[0]},
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def hardware_schema() -> dict[str, Any]:
    """The schema of the files that :func:`simsparse.load.hardware_yaml.load_hardware_file` reads.

    What a schema cannot say (a default dtype that is among the dtypes, say) is left to the loader.
    """
    plain = hardware_adapter().json_schema()
    records = {name: item for name, item in plain.pop("$defs").items() if name != "Source"}
    definitions = {name: _sourced(item) for name, item in records.items()} | _definitions()
    properties = {name: _sourced(item) for name, item in plain["properties"].items()}
    properties["sources"] = {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}
    properties["energy_pj"] = _energies()
    return {
        "$schema": _DRAFT,
        "title": "simsparse hardware model",
        **{key: value for key, value in _sourced(plain).items() if key != "title"},
        "properties": properties,
        "$defs": dict(sorted(definitions.items())),
    }


def _definitions() -> dict[str, Any]:
    number: dict[str, Any] = {"type": "number"}
    entry = {
        "table": {"type": "string"},
        "entry": {"type": "string"},
        "times": {"type": "number", "exclusiveMinimum": 0},
    }
    return {
        "Number": _record({"value": number, **_SOURCE}, ["value", "source"]),
        "Integer": _record({"value": {"type": "integer"}, **_SOURCE}, ["value", "source"]),
        "TableEntry": _record(entry, ["table", "entry"]),
    }


def _energies() -> dict[str, Any]:
    price = {"anyOf": [_ref("Number"), _ref("TableEntry")]}
    return {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": price}}


def _sourced(schema: Any) -> Any:
    """A schema of plain data with every number, and every list of numbers, given its source."""
    if isinstance(schema, list):
        return [_sourced(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind in ("number", "integer"):
        return _ref(kind.title())
    if kind == "array" and _of_numbers(schema):
        return _record({"value": schema, **_SOURCE}, ["value", "source"])
    if "anyOf" in schema:
        choices = [_sourced(item) for item in schema["anyOf"] if item.get("type") != "null"]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    walked = {
        key: _sourced(value) if key in ("items", "additionalProperties") else value
        for key, value in schema.items()
    }
    if "properties" in schema:
        walked["properties"] = {name: _sourced(item) for name, item in schema["properties"].items()}
        walked["additionalProperties"] = False
        if "family" in walked["properties"]:
            walked["required"] = ["family", *walked.get("required", [])]
    return walked


def _of_numbers(array: Mapping[str, Any]) -> bool:
    items = [*array.get("prefixItems", ()), *([array["items"]] if "items" in array else ())]
    return bool(items) and all(item.get("type") in ("number", "integer") for item in items)


def _record(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}
