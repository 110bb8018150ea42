"""A study file to its lists.

::

    models: [resnet50, bert-base]
    on: [a100-80gb, eie]
    prune: ["unstructured:0.5:0.98:7", "2:4", "block:4x1:0.9"]
    format: all
    set: {units: [64, 256]}
    zip: [[batch, seq]]                    # in pairs instead of multiplied
    exclude: [{on: eie, prune: "2:4"}]
    phase: train                           # of all points; columns: 64 likewise
    measure: true                          # not beside phase or columns

Lists multiply; a single value is a list of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.load.document import Mistake, read_document, validated
from simsparse.load.quoting import shown
from simsparse.load.study_spec import AXES, StudySpec, mistakes
from simsparse.load.yaml_tree import Location

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def load_study(path: str | Path) -> StudySpec:
    """The study that a YAML file describes.

    Raises
    ------
    FileError
        With every mistake of the file: shape, unknown keys, names and numbers.
    """
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise document.error(
            [((), f"expected a mapping, got {shown(document.data)} (write models: and on:)")]
        )
    listed, moved = _with_lists(document.data)
    plain = document.with_data(listed, moved)
    return validated(plain, study_adapter(), also=_wrong_names(listed))


@cache
def study_adapter() -> TypeAdapter[StudySpec]:
    """The pydantic adapter that checks a study file and prints its JSON Schema."""
    from pydantic import TypeAdapter

    return TypeAdapter(StudySpec)


def study_schema() -> dict[str, Any]:
    """The JSON Schema of a study file, in which a single value may stand for a list of one."""
    schema = study_adapter().json_schema() | {"additionalProperties": False}
    fields_ = schema["properties"]
    for key in (*AXES, "skip", "exclude"):
        _or_single(fields_[key])
    for items in (fields_["set"], fields_["exclude"]["anyOf"][0]["items"]):
        _or_single(items["additionalProperties"])
    return schema


def _or_single(listed: dict[str, Any]) -> None:
    """Change the schema of a list in place so that one of its items will do."""
    form = {key: listed.pop(key) for key in ("type", "items")}
    listed["anyOf"] = [form, form["items"]]


def _wrong_names(listed: Mapping[str, Any]) -> list[Mistake]:
    """Mistakes in the lists; not in those whose shape is wrong already, which validation tells."""
    from pydantic import ValidationError

    known = {item.name for item in fields(StudySpec)}
    data = {key: value for key, value in listed.items() if key in known}
    misshapen: set[Any] = set()
    try:
        spec = study_adapter().validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        misshapen = {detail["loc"][0] for detail in error.errors(include_url=False)}
        rest = {key: value for key, value in data.items() if key not in misshapen}
        spec = study_adapter().validate_json(json.dumps(rest), strict=True)
    unsure = misshapen | ({"zip"} if misshapen else set()) | ({"exclude"} if "set" in misshapen else set())
    return [(place, text) for place, text in mistakes(spec) if place[0] not in unsure]


def _with_lists(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Location, Location]]:
    """The data with single values as lists of one, and where these stand in the file."""
    result: dict[str, Any] = {}
    moved: dict[Location, Location] = {}
    for key, value in data.items():
        if key in (*AXES, "skip"):
            result[key] = _listed(value, (key,), moved)
        elif key == "set" and isinstance(value, dict):
            result[key] = {path: _listed(v, (key, path), moved) for path, v in value.items()}
        elif key == "exclude":
            rules = _listed(value, (key,), moved)
            result[key] = [
                {name: _listed(v, (key, i, name), moved) for name, v in rule.items()}
                if isinstance(rule, dict)
                else rule
                for i, rule in enumerate(rules)
            ]
        else:
            result[key] = value
    return result, moved


def _listed(value: Any, location: Location, moved: dict[Location, Location]) -> list[Any]:
    if isinstance(value, list):
        return value
    moved[(*location, 0)] = location
    return [value]
