"""Numbers written with their source, ``{value: 8.0e8, source: eie-isca16, status: verified}``, taken apart.

The result is plain data for validation, a source for each number by its dotted path, and the mistakes.
Records of a list are called by their name in a path (``memory.dram.latency_s``), else by their index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from simsparse.errors import nearest
from simsparse.hardware import Source, SourceStatus
from simsparse.load.quoting import shown
from simsparse.load.structure import unknown_key
from simsparse.load.wording import number
from simsparse.load.yaml_tree import Location

STATUSES: tuple[str, ...] = get_args(SourceStatus)
FORM = "{value: …, source: …}"
Mistake = tuple[Location, str]
Priced = tuple[float, Source] | list[Mistake]
TableReader = Callable[[Location, Mapping[str, Any]], Priced]


@dataclass(slots=True)
class Sourced:
    """Plain data, the sources of its numbers, where moved values stand in the file, and mistakes."""

    data: Any = None
    sources: dict[str, Source] = field(default_factory=dict)
    moved: dict[Location, Location] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[Mistake] = field(default_factory=list)


def take_sources(data: Mapping[str, Any], texts: Mapping[str, str], read_table: TableReader) -> Sourced:
    """Take the sources out of a file's data; ``read_table`` answers entries that refer to an energy table."""
    walk = _Walk(texts, read_table)
    walk.result.data = walk.plain(data, (), ())
    return walk.result


def path_step(value: Any, index: int) -> str:
    """How an item of a list is called in a dotted path."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if isinstance(name, str) and name else str(index)


@dataclass(slots=True)
class _Walk:
    texts: Mapping[str, str]
    read_table: TableReader
    result: Sourced = field(default_factory=Sourced)

    def plain(self, data: Any, location: Location, path: tuple[str, ...]) -> Any:
        if isinstance(data, dict):
            if "value" in data:
                return self._number(data, location, path)
            if "table" in data:
                return self._entry(data, location, path)
            return {key: self.plain(value, (*location, key), (*path, key)) for key, value in data.items()}
        if isinstance(data, list):
            return self._list(data, location, path)
        if isinstance(data, int | float) and not isinstance(data, bool):
            text = number(data) if isinstance(data, float) else str(data)
            out = f"write {{value: {text}, source: …}}"
            self.result.mistakes.append(
                (location, f"expected a number with its source, got {shown(data)} ({out})")
            )
        return data

    def _list(self, data: list[Any], location: Location, path: tuple[str, ...]) -> Any:
        if data and all(isinstance(item, int | float) and not isinstance(item, bool) for item in data):
            text = f"expected a list with its source, got a bare list (write {{value: {data}, source: …}})"
            self.result.mistakes.append((location, text[:200]))
            return data
        steps = [path_step(item, index) for index, item in enumerate(data)]
        return [self.plain(item, (*location, i), (*path, steps[i])) for i, item in enumerate(data)]

    def _number(self, data: Mapping[str, Any], location: Location, path: tuple[str, ...]) -> Any:
        self._only(data, location, ("value", "source", "status"))
        value = data["value"]
        at = (*location, "value")
        self.result.moved[location] = at
        if isinstance(value, list):
            self.result.moved.update({(*location, i): (*at, i) for i in range(len(value))})
        source = self._source(data, location)
        if source is not None:
            self.result.sources[".".join(path)] = source
        return value

    def _entry(self, data: Mapping[str, Any], location: Location, path: tuple[str, ...]) -> Any:
        self._only(data, location, ("table", "entry", "times"))
        answer = self.read_table(location, data)
        if isinstance(answer, list):
            self.result.mistakes.extend(answer)
            return 0.0  # a number, so that the one mistake is told once
        value, source = answer
        self.result.sources[".".join(path)] = source
        return value

    def _source(self, data: Mapping[str, Any], location: Location) -> Source | None:
        text, status = data.get("source"), data.get("status", "verified")
        problems = []
        if not isinstance(text, str) or not text.strip():
            problems.append(("source", f"expected the number's source, got {shown(text)} (write {FORM})"))
        elif (
            text not in self.texts
            and " " not in text.strip()
            and not text.startswith(("http://", "https://"))
        ):
            near = nearest(text, self.texts)
            out = (
                f"did you mean {', '.join(near)}?"
                if near
                else "add it to sources:, or write the source as text"
            )
            problems.append(("source", f"expected a key of sources:, got {shown(text)} ({out})"))
        if status not in STATUSES:
            near = nearest(status, STATUSES) if isinstance(status, str) else []
            out = f"did you mean {near[0]}?" if near else f"write {STATUSES[0]}"
            problems.append(("status", f"expected one of {', '.join(STATUSES)}, got {shown(status)} ({out})"))
        self.result.mistakes += [((*location, key), text) for key, text in problems]
        return None if problems else Source(text=self.texts.get(str(text), str(text)), status=status)

    def _only(self, data: Mapping[str, Any], location: Location, known: tuple[str, ...]) -> None:
        for key in data:
            if key not in known:
                free = [name for name in known if name not in data]
                self.result.unknown.append(((*location, key), unknown_key(key, free, dict.fromkeys(known))))
