"""A Hugging Face ``config.json`` as sizes that can be trusted: whole numbers in range, or one line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simsparse.errors import FileError, nearest
from simsparse.load.document import shown_path
from simsparse.load.files.text_file import parse_json_object, read_bytes
from simsparse.load.quoting import printable, shown

CONFIG = "config.json"
MAX_BYTES = 8 * 2**20
MAX_SIZE = 2**26
MAX_LAYERS = 1_000
MAX_EXPERTS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The entries of a configuration; mistakes are collected until ``check``."""

    where: str
    entries: dict[str, Any]
    mistakes: list[str] = field(default_factory=list)

    @property
    def model_type(self) -> str:
        """Name of the family, such as ``llama``; empty where the file has none."""
        found = self.entries.get("model_type")
        return found if isinstance(found, str) else ""

    @property
    def architecture(self) -> str:
        """The first class the model was saved from, such as ``BertForMaskedLM``."""
        found = self.entries.get("architectures")
        return found[0] if isinstance(found, list) and found and isinstance(found[0], str) else ""

    def size(self, *names: str, default: int | None = None, most: int = MAX_SIZE) -> int:
        """The whole number, at least 1, under the first of ``names`` that is present; 1 after a mistake."""
        for name in names:
            value = self.entries.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                self.wrong(name, f"expected a whole number from 1 to {most:,}, got {shown(value)}")
                return 1
            return value
        if default is None:
            near = nearest(names[0], self.entries)
            out = f"did you mean {printable(', '.join(near))}?" if near else "add it"
            self.wrong(names[0], f"expected a whole number, got none ({out})")
            return 1
        return default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """The truth value under ``name``."""
        value = self.entries.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, f"expected true or false, got {shown(value)}")
            return default
        return value

    def indices(self, name: str) -> tuple[int, ...]:
        """The list of whole numbers under ``name``, empty where there is none."""
        value = self.entries.get(name)
        if value is None:
            return ()
        whole = isinstance(value, list) and len(value) <= MAX_LAYERS
        if not whole or not all(type(item) is int and 0 <= item < MAX_LAYERS for item in value):
            self.wrong(name, f"expected a list of layer numbers, got {shown(value)}")
            return ()
        return tuple(value)

    def wrong(self, name: str, text: str) -> None:
        """Notes a mistake about an entry."""
        self.mistakes.append(f"{self.where}: {name}: {text}")

    def check(self) -> None:
        """Raises what has been noted.

        Raises
        ------
        FileError
            With every mistake.
        """
        if self.mistakes:
            raise FileError(dict.fromkeys(self.mistakes))


def read_config(path: Path) -> Config:
    """The entries of a ``config.json``; those of a text model inside a larger one where it holds the sizes.

    Raises
    ------
    FileError
        If the file cannot be read or is no JSON object.
    """
    where = shown_path(path)
    data = read_bytes(path, most_bytes=MAX_BYTES, what="a config.json")
    return Config(where=where, entries=parse_json_object(data, where))
