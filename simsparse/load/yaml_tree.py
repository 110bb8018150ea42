"""YAML text as plain data, with the line and column of everything in it.

The events of ruamel's parser (with its C scanner where that is installed, ten times quicker) become dicts,
lists and scalars of the YAML 1.2 core schema. What a data file does not need is a mistake: repeated keys,
anchors and aliases (a few hundred bytes of them can stand for gigabytes), tags, infinite numbers.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from simsparse.load.quoting import printable

Location = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both from 1."""
Scalar = str | int | float | bool | None

MAX_DEPTH = 50
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_READ_DIFFERENTLY = re.compile("[\t\x85\u2028\u2029\ufeff]|^[ -]*[?]", re.MULTILINE)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class YamlError(Exception):
    """A place in the text and what is wrong there; parsing cannot go on."""

    def __init__(self, position: Position, message: str) -> None:
        self.position = position
        super().__init__(message)


@dataclass(slots=True)
class Tree:
    """Plain data with positions: of each value, and of each key."""

    data: Any = None
    values: dict[Location, Position] = field(default_factory=dict)
    keys: dict[Location, Position] = field(default_factory=dict)
    mistakes: list[tuple[Position, str]] = field(default_factory=list)


def parse_yaml(text: str, *, pure: bool = False) -> Tree:
    """The tree of one YAML document; ``pure`` avoids the C scanner.

    The C scanner knows an older YAML (it refuses ``{pattern: 2:4}`` and takes tabs for spaces): what it
    stumbles over or reads differently is read without it, so that a file means the same wherever it is read.

    Raises
    ------
    YamlError
        If the text is no YAML, has more than one document, or is nested deeper than ``MAX_DEPTH``.

    >>> parse_yaml("clock_hz: 1e9").data
    {'clock_hz': 1000000000.0}
    """
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.error import YAMLError as AnyError

    if not pure and not _READ_DIFFERENTLY.search(text) and (events := _quick_events(text)) is not None:
        try:
            return _built(events)
        except AnyError:
            pass
    try:
        return _built(_slow_events(text))
    except MarkedYAMLError as error:
        raise _syntax_mistake(error) from None
    except AnyError as error:  # the reader's: a character that YAML does not allow
        raise YamlError(_forbidden_character(text), str(error).splitlines()[0]) from None


def _built(events: Iterable[Any]) -> Tree:
    builder = _Builder()
    for event in events:
        builder.take(event)
    return builder.tree


def _quick_events(text: str) -> Iterator[Any] | None:
    try:
        from _ruamel_yaml import CParser  # type: ignore[import-not-found]
    except ImportError:
        return None
    parser = CParser(io.BytesIO(text.encode()))
    return iter(lambda: parser.get_event() if parser.check_event() else None, None)


def _slow_events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
    return events


def _syntax_mistake(error: Any) -> YamlError:
    mark = error.problem_mark or error.context_mark
    position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or error.context).replace("but found", "got").replace("but got", "got")
    if "cannot start any token" in problem:
        problem = "found a character that cannot start a value (indent with spaces, quote text)"
    elif "mapping values are not allowed" in problem:
        problem = "found a second ': ' in one line (quote text that contains ': ')"
    else:
        problem = problem.replace("<block end>", "the end of this block")
        problem = printable(problem) + " (check brackets, quotes and indentation)"
    return YamlError(position, problem)


def _forbidden_character(text: str) -> Position:
    allowed = re.compile("[\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
    match = allowed.match(text)
    before = text[: match.end()] if match else ""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _Builder:
    """Grows a :class:`Tree` event by event; the stack holds the containers that are open."""

    def __init__(self) -> None:
        self.tree = Tree()
        self._stack: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._location: list[str | int] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        name = type(event).__name__
        if name == "ScalarEvent":
            self._scalar(event)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._open(event, {} if name == "MappingStartEvent" else [])
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self._stack.pop()
            self._keys.pop()
            if self._stack:
                self._leave()
        elif name == "AliasEvent":
            self._mistake(event, f"expected plain data, got the alias *{event.anchor} (write the value out)")
            if self._at_key():
                self._key(event, f"*{event.anchor}")
            else:
                self._value(event, None)
                if self._awaits_nothing():
                    self._leave()
        elif name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise YamlError(
                    _position(event), "expected one document, got a second one (remove what follows ---)"
                )

    def _awaits_nothing(self) -> bool:
        return bool(self._stack) and len(self._location) == len(self._stack)

    def _open(self, event: Any, container: dict[str, Any] | list[Any]) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise YamlError(
                _position(event), f"expected at most {MAX_DEPTH} levels of nesting (flatten the file)"
            )
        self._refuse(event)
        if self._at_key():
            raise YamlError(
                _position(event), "expected text as a key, got a list or mapping (write key: value)"
            )
        self._value(event, container)
        self._stack.append(container)
        self._keys.append(None)

    def _scalar(self, event: Any) -> None:
        self._refuse(event)
        if not event.value.isascii() and _HALF_CHARACTER.search(event.value):
            self._mistake(
                event, "expected Unicode text, got half a character (write it in UTF-8, not as \\u)"
            )
        if self._at_key():
            self._key(event, event.value)
            return
        value, problem = scalar(event.value) if event.implicit[0] else (event.value, None)
        if problem:
            self._mistake(event, problem)
        self._value(event, value)
        if self._awaits_nothing():
            self._leave()

    def _at_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1], dict) and self._keys[-1] is None

    def _key(self, event: Any, key: str) -> None:
        container = self._stack[-1]
        location = (*self._location, key)
        if key in container:
            line, column = self.tree.keys[location]
            self._mistake(
                event, f"{key}: expected each key once, got it again (first at {line}:{column}; remove one)"
            )
        elif not key:
            self._mistake(event, "expected a key before ':', got nothing (write key: value)")
        self.tree.keys[location] = _position(event)
        self._keys[-1] = key

    def _value(self, event: Any, value: Any) -> None:
        position = _position(event)
        if not self._stack:
            self.tree.data = value
        elif isinstance(container := self._stack[-1], list):
            self._location.append(len(container))
            container.append(value)
        else:
            key = self._keys[-1] or ""
            self._location.append(key)
            container[key] = value
            if value is None:  # an empty value has no place of its own
                position = self.tree.keys[tuple(self._location)]
        self.tree.values[tuple(self._location)] = position

    def _leave(self) -> None:
        self._location.pop()
        self._keys[-1] = None

    def _refuse(self, event: Any) -> None:
        if event.anchor:
            self._mistake(event, f"expected plain data, got the anchor &{event.anchor} (write the value out)")
        if event.tag:
            self._mistake(event, f"expected plain data, got the tag {event.tag} (remove it)")

    def _mistake(self, event: Any, message: str) -> None:
        self.tree.mistakes.append((_position(event), message))


def _position(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


def scalar(text: str) -> tuple[Scalar, str | None]:
    """An unquoted scalar by the YAML 1.2 core schema, and what is wrong with it.

    >>> scalar("1e9")[0], scalar("no")[0], scalar("0x10")[0], scalar("12:30")[0], scalar("~")[0]
    (1000000000.0, 'no', 16, '12:30', None)
    """
    if text in _NULL:
        return None, None
    if text in _BOOL:
        return _BOOL[text], None
    if _INTEGER.fullmatch(text):
        return int(text, 0 if text[:2] in ("0o", "0x") else 10), None
    if _NOT_FINITE.fullmatch(text):
        return 0.0, f"expected a finite number, got {text} (leave the key out where nothing limits)"
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value, None
        return 0.0, f"expected a finite number, got {text[:40]} (at most 1.7e308)"
    return text, None
