"""Names found in a file are untrusted text: they may hold markup, line breaks or terminal escapes.

They are kept as they are except for characters that do something when shown, which become ``�``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from simsparse.errors import FileError

_MAX_LENGTH = 200
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # controls, formats, surrogates, line breaks


def clean(name: str) -> str:
    """``name`` on one line, at most 200 characters.

    >>> clean("conv\\x1b[31m\\n1")
    'conv�[31m�1'
    """
    if name.isprintable() and len(name) <= _MAX_LENGTH:
        return name
    shown = "".join(
        "�" if unicodedata.category(letter) in _ACTING else letter for letter in name[:_MAX_LENGTH]
    )
    return shown + "…" if len(name) > _MAX_LENGTH else shown


def mistake(path: str | Path, where: str, expected: str, got: str, way_out: str) -> FileError:
    """One mistake of a file: where, what was expected and found, and the way out."""
    return FileError([f"{path}: {where}: expected {expected}, got {got} ({way_out})"])


class UniqueNames:
    """Hands out each name once: a second ``conv`` becomes ``conv_2``."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken: set[str] = set(taken)
        self._next: dict[str, int] = {}

    def make(self, wanted: str) -> str:
        """``wanted``, or it with the first number that is free."""
        name, number = wanted, self._next.get(wanted, 2)
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        self._next[wanted] = number
        return name
