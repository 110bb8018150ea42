"""A YAML file as plain data that remembers where each piece stood, and its validation against a type.

Validation reports every mistake of a file at once, one line each:
``hwmodels/x.yaml:3:11: clock_hz: expected a number in Hz, got "1 GHz" (write 1.0e9)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from simsparse.errors import FileError, SimsparseError
from simsparse.load.quoting import printable
from simsparse.load.yaml_tree import Location, Position, YamlError, parse_yaml

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

MAX_BYTES = 2 * 1024 * 1024
Mistake = tuple[Location, str]
"""Where in the data, and what is wrong there without the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Plain data of one file. ``values`` and ``keys`` map locations to (line, column), both from 1."""

    path: str
    """As shown in messages."""
    data: Any
    values: Mapping[Location, Position] = field(default_factory=dict, repr=False)
    keys: Mapping[Location, Position] = field(default_factory=dict, repr=False)

    def position(self, location: Location, *, key: bool = False) -> Position:
        """Line and column of the value (or the key) at ``location``, or of the nearest thing around it."""
        if key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        return self.values.get(location, (1, 1))

    def where(self, location: Location, *, key: bool = False) -> str:
        """``file:line:col`` of :meth:`position`."""
        line, column = self.position(location, key=key)
        return f"{self.path}:{line}:{column}"

    def error(self, mistakes: Iterable[Mistake], *, keys: Iterable[Mistake] = ()) -> FileError:
        """One :class:`FileError` of all mistakes in the order of the file; ``keys`` point at keys."""
        placed = [(self.position(at), _line(at, text)) for at, text in mistakes]
        placed += [(self.position(at, key=True), _line(at, text)) for at, text in keys]
        return FileError(f"{self.path}:{line}:{col}: {text}" for (line, col), text in sorted(set(placed)))

    def with_data(self, data: Any, moved: Mapping[Location, Location] | None = None) -> Document:
        """The same file with rewritten data; ``moved`` says where new locations stand in the old data."""
        values = {new: self.values[old] for new, old in (moved or {}).items() if old in self.values}
        return replace(self, data=data, values={**self.values, **values})


def read_document(path: str | Path | Traversable, *, pure: bool = False) -> Document:
    """The plain data of a YAML file.

    Raises
    ------
    FileError
        If the file cannot be read, is empty, larger than ``MAX_BYTES``, not UTF-8, no YAML, or uses repeated
        keys, anchors, aliases, tags or infinite numbers.
    """
    shown = shown_path(path)
    text = _text(Path(path) if isinstance(path, str) else path, shown)
    try:
        tree = parse_yaml(text, pure=pure)
    except YamlError as mistake:
        line, column = mistake.position
        raise FileError([f"{shown}:{line}:{column}: {mistake}"]) from None
    if tree.mistakes:
        raise FileError(f"{shown}:{line}:{col}: {text}" for (line, col), text in tree.mistakes)
    if tree.data is None:
        raise FileError(
            [f"{shown}:1:1: expected a mapping, got an empty file (simsparse show --template prints one)"]
        )
    return Document(path=shown, data=tree.data, values=tree.values, keys=tree.keys)


def shown_path(path: str | Path | Traversable) -> str:
    """``path`` relative to the working directory where it lies inside, on one line."""
    absolute = Path(str(path)).absolute()
    try:
        text = str(absolute.relative_to(Path.cwd()))
    except ValueError:
        text = str(absolute)
    return printable(text)


def validated(
    document: Document,
    adapter: TypeAdapter[T],
    data: Any = None,
    *,
    also: Iterable[Mistake] = (),
    unknown: Iterable[Mistake] = (),
) -> T:
    """The value of a document's data (or of ``data`` made from it), checked against a type.

    Numbers must be written as numbers: text and true/false are never converted. Keys that the type does not
    know are mistakes everywhere, also below unions; a union of records is told apart by its literal field.
    Mistakes that the caller has found already are raised together with these (``unknown``: at their keys).

    Raises
    ------
    FileError
        With every mistake of the file.
    """
    from pydantic import ValidationError

    from simsparse.load.structure import inspect
    from simsparse.load.wording import worded

    data = document.data if data is None else data
    found = inspect(adapter.core_schema, data)
    value: T | None = None
    mistakes: list[Mistake] = [*also, *found.mistakes]
    strangers = [*unknown, *found.unknown]
    try:
        # strict JSON rules fit a text file: lists become tuples and names enums, but "1" is no number
        value = adapter.validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        mistakes += [worded(found, detail) for detail in details if found.concerns(detail)]
    except (
        SimsparseError
    ) as error:  # a record's own check; it knows no place, so a mistake with one goes first
        if not mistakes:
            mistakes.append(((), str(error)))
    if value is None or mistakes or strangers:
        raise document.error(mistakes, keys=strangers)
    return value


def _text(path: Path | Traversable, shown: str) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise FileError([f"{shown}: expected a readable file, got: {reason} (check the path)"]) from None
    if len(raw) > MAX_BYTES:
        limit = MAX_BYTES // 1024**2
        raise FileError(
            [f"{shown}: expected at most {limit} MiB of YAML, got more (use count: for equal layers)"]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(
            [f"{shown}:{line}:1: expected UTF-8 text, got byte 0x{raw[error.start]:02x} (save it as UTF-8)"]
        ) from None


def _line(location: Location, text: str) -> str:
    name = dotted(location)
    return f"{name}: {text}" if name else text


def dotted(location: Location) -> str:
    """A location as a person reads it.

    >>> dotted(("memory", 0, "latency_s"))
    'memory[0].latency_s'
    """
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return printable(name)
