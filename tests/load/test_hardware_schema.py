"""The JSON Schema says of a machine's YAML what the loader says."""

from __future__ import annotations

from typing import Any

from hardware_example import EXAMPLE

from simsparse.load.hardware_schema import hardware_schema
from simsparse.load.yaml_tree import parse_yaml


def fits(schema: dict[str, Any], data: Any, root: dict[str, Any]) -> bool:
    """A validator of the few words the schema uses."""
    if "$ref" in schema:
        return fits(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], data, root)
    if "anyOf" in schema:
        return any(fits(choice, data, root) for choice in schema["anyOf"])
    if "enum" in schema:
        return data in schema["enum"]
    if "const" in schema:
        return bool(data == schema["const"])
    kind = schema["type"]
    if kind == "object":
        return isinstance(data, dict) and _object_fits(schema, data, root)
    if kind == "array":
        rules = schema.get("prefixItems")
        if not isinstance(data, list) or (rules is not None and len(rules) != len(data)):
            return False
        return all(fits(rules[i] if rules else schema["items"], item, root) for i, item in enumerate(data))
    types = {"string": str, "number": int | float, "integer": int, "boolean": bool}
    return isinstance(data, types[kind]) and (kind == "boolean" or not isinstance(data, bool))


def _object_fits(schema: dict[str, Any], data: dict[str, Any], root: dict[str, Any]) -> bool:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if not set(schema.get("required", [])) <= set(data):
        return False
    for key, value in data.items():
        rule = known.get(key, others)
        if rule is False or (isinstance(rule, dict) and not fits(rule, value, root)):
            return False
    return True


def test_the_schema_accepts_the_example_and_every_bundled_machine() -> None:
    from simsparse.load.catalog import bundled_file, names
    from simsparse.load.document import read_document

    schema = hardware_schema()
    assert fits(schema, parse_yaml(EXAMPLE).data, schema)
    for name in names("hardware"):
        file = bundled_file("hardware", name)
        assert file is not None
        assert fits(schema, read_document(file).data, schema), name


def test_the_schema_refuses_bare_numbers_and_unknown_keys() -> None:
    schema = hardware_schema()
    for old, new in (
        ("{value: 1.0e9, source: paper}", "1.0e9"),
        ("clock_hz:", "clock:"),
        ("tile_m:", "tile:"),
        ("role: store", "role: keep"),
        ("  family: tensor-core\n", ""),
    ):
        assert not fits(schema, parse_yaml(EXAMPLE.replace(old, new)).data, schema), new
