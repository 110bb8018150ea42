"""Keys that a type does not know, and which record of a union is meant; read off a pydantic core schema.

pydantic ignores unknown keys of standard dataclasses, and answers a wrong value inside a union with the
mistakes of every member. Here the records of a union are told apart by a field that is a literal in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simsparse.errors import nearest
from simsparse.load.quoting import shown
from simsparse.load.yaml_tree import Location

Schema = Mapping[str, Any]
_WRAPPERS = frozenset(
    {"default", "nullable", "function-after", "function-before", "function-wrap", "json-or-python"}
)
_RECORDS = frozenset({"dataclass-args", "model-fields", "typed-dict"})


@dataclass(slots=True)
class Structure:
    """What the walk found. ``chosen`` names the record meant at each union, None where that is not known."""

    mistakes: list[tuple[Location, str]] = field(default_factory=list)
    unknown: list[tuple[Location, str]] = field(default_factory=list)
    chosen: dict[Location, str | None] = field(default_factory=dict)

    def concerns(self, detail: Mapping[str, Any]) -> bool:
        """Whether a mistake that pydantic found belongs to the records that are meant."""
        if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            return False  # the walk says it better
        location: Location = tuple(detail["loc"])
        for union, member in self.chosen.items():
            depth = len(union)
            if self.plain(location[:depth]) == union and len(location) > depth and location[depth] != member:
                return False
        return True

    def plain(self, location: Location) -> Location:
        """A pydantic location without the names of union members."""
        kept: Location = ()
        skip = False
        for part in location:
            if skip:
                skip = False
                if part == self.chosen.get(kept):
                    continue
            kept = (*kept, part)
            skip = kept in self.chosen
        return kept


def inspect(schema: Mapping[str, Any], data: Any) -> Structure:
    """Walk ``data`` along a core schema."""
    found = Structure()
    definitions: dict[str, Schema] = {}
    while schema["type"] == "definitions":
        definitions.update({item["ref"]: item for item in schema["definitions"]})
        schema = schema["schema"]
    _Walk(found, definitions).visit(schema, data, ())
    return found


@dataclass(slots=True)
class _Walk:
    found: Structure
    definitions: Mapping[str, Schema]

    def visit(self, schema: Schema, data: Any, location: Location) -> None:
        schema = self._unwrapped(schema)
        kind = schema["type"]
        if kind in _RECORDS and isinstance(data, dict):
            self._record(schema, data, location)
        elif kind in ("union", "tagged-union") and isinstance(data, dict):
            self._union(schema, data, location)
        elif kind == "dict" and isinstance(data, dict):
            for key, value in data.items():
                self.visit(schema.get("values_schema", {"type": "any"}), value, (*location, key))
        elif kind in ("list", "tuple") and isinstance(data, list):
            self._sequence(schema, data, location)

    def _sequence(self, schema: Schema, data: list[Any], location: Location) -> None:
        items = schema.get("items_schema", {"type": "any"})
        variadic = schema.get("variadic_item_index", None if isinstance(items, list) else 0)
        items = items if isinstance(items, list) else [items]
        for index, value in enumerate(data):
            at = index if variadic is None or index < variadic else variadic
            if at < len(items):
                self.visit(items[at], value, (*location, index))

    def _record(self, schema: Schema, data: dict[str, Any], location: Location) -> None:
        fields = _fields(schema)
        for key, value in data.items():
            if key in fields:
                self.visit(fields[key], value, (*location, key))
            else:
                self.found.unknown.append(
                    (
                        (*location, key),
                        unknown_key(key, [name for name in fields if name not in data], fields),
                    )
                )

    def _union(self, schema: Schema, data: dict[str, Any], location: Location) -> None:
        choices = schema["choices"].values() if isinstance(schema["choices"], dict) else schema["choices"]
        plain = [self._unwrapped(choice[0] if isinstance(choice, tuple) else choice) for choice in choices]
        records = [choice for choice in plain if choice["type"] in _RECORDS]
        if len(records) == 1:
            self.visit(records[0], data, location)
        tags = _tags(records) if len(records) > 1 else None
        if not tags:
            return
        name, members = tags
        tag = data.get(name)
        if isinstance(tag, str) and tag in members:
            member = members[tag]
            self.found.chosen[location] = tag if schema["type"] == "tagged-union" else _title(member)
            self.visit(member, data, location)
            return
        self.found.chosen[location] = None
        near = nearest(tag, members) if isinstance(tag, str) else []
        out = f"did you mean {', '.join(near)}?" if near else f"write {name}: {next(iter(members))}"
        self.found.mistakes.append(
            ((*location, name), f"expected one of {', '.join(members)}, got {shown(tag)} ({out})")
        )

    def _unwrapped(self, schema: Schema) -> Schema:
        while True:
            kind = schema["type"]
            if kind == "definition-ref":
                schema = self.definitions[schema["schema_ref"]]
            elif kind in _WRAPPERS:
                schema = schema["json_schema"] if kind == "json-or-python" else schema["schema"]
            elif kind in ("dataclass", "model"):
                schema = {**self._unwrapped(schema["schema"]), "title": schema["cls"].__name__}
            else:
                return schema


def unknown_key(key: str, free: list[str], known: Mapping[str, Any]) -> str:
    """The message for a key that a record does not know; offers the ones not used yet first."""
    near = _near(key, free) or _near(key, list(known))
    out = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
    return f"expected a known key, got {shown(key)} ({out})"


def _near(key: str, known: list[str]) -> list[str]:
    """Names like ``key``, or like its beginning: bandwith → bandwidth_bytes_per_s."""
    beginnings = {name[: len(key)]: name for name in reversed(known)}
    return nearest(key, known) or [beginnings[start] for start in nearest(key, beginnings)]


def _fields(schema: Schema) -> dict[str, Schema]:
    fields = schema["fields"]
    if isinstance(fields, dict):
        return {name: item["schema"] for name, item in fields.items()}
    return {item["name"]: item["schema"] for item in fields}


def _title(record: Schema) -> str:
    return str(record["title"])


def _tags(records: list[Schema]) -> tuple[str, dict[str, Schema]] | None:
    """The field that is a one-word literal in every record, and the record of each word."""
    for name in _fields(records[0]):
        words = [_word(_fields(record).get(name)) for record in records]
        if all(words) and len(set(words)) == len(words):
            return name, {str(word): record for word, record in zip(words, records, strict=True)}
    return None


def _word(schema: Schema | None) -> str | None:
    while schema is not None and schema["type"] in _WRAPPERS:
        schema = schema["schema"]
    if schema is not None and schema["type"] == "literal" and len(schema["expected"]) == 1:
        return str(schema["expected"][0])
    return None
