"""Text and values from files as they are quoted in messages: short, printable, on one line."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 60


def printable(text: str) -> str:
    """``text`` with anything that a terminal would obey replaced by a question mark."""
    return "".join(char if char.isprintable() else "?" for char in text)


def shown(value: Any) -> str:
    """A value as it is quoted in a message.

    >>> shown("1 GHz"), shown(None), shown([1, 2]), shown(True)
    ('"1 GHz"', 'nothing', 'a list', 'true')
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        short = value if len(value) <= LONGEST else value[: LONGEST - 3] + "..."
        return f'"{printable(short)}"'
    return json.dumps(value)[:LONGEST]
