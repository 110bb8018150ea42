"""The text form of a format: ``csr``, ``nm:2:4``, ``bsr:4x1``, ``csc:banks=64:run_bits=4``.

A name, then the parameters a format has a shorthand for, then ``key=value`` for each one that differs from
its default.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from simsparse.errors import FormatError

if TYPE_CHECKING:
    from simsparse.formats.base import SparseFormat

_PLACE = re.compile(r"\\?\{(\w+)\\?\}")


def to_text(format_: SparseFormat) -> str:
    """The text of a format; ``from_text`` gives an equal format back."""
    short = format_.shorthand
    parts = [format_.name]
    if short:
        parts.append(_PLACE.sub(lambda place: str(getattr(format_, place[1])), short))
    for field in dataclasses.fields(format_):  # type: ignore[arg-type]  # formats are dataclasses
        value = getattr(format_, field.name)
        if f"{{{field.name}}}" not in short and value != field.default:
            parts.append(f"{field.name}={value}")
    return ":".join(parts)


def from_text(format_class: type[SparseFormat], text: str) -> SparseFormat:
    """The format of ``format_class`` with the parameters written after its name; all parameters are integers.

    Raises
    ------
    FormatError
        If a parameter is unknown or no integer.
    """
    rest = text[len(format_class.name) :].removeprefix(":")
    rule = _PLACE.sub(r"(?P<\1>\\d+)", re.escape(format_class.shorthand)) + r"(?::|$)"
    match = re.match(rule, rest) if format_class.shorthand else None
    values = {key: int(number) for key, number in match.groupdict().items()} if match else {}
    for part in filter(None, rest[match.end() if match else 0 :].split(":")):
        key, _, number = part.partition("=")
        if key not in _parameters(format_class) or not number.isdecimal():
            known = ", ".join(f"{name}=<integer>" for name in _parameters(format_class)) or "no parameters"
            short = f"{format_class.shorthand}, " if format_class.shorthand else ""
            raise FormatError(
                f'format {text}: expected {format_class.name} with {short}{known}, got "{part}"'
            )
        values[key] = int(number)
    return format_class(**values)


def _parameters(format_class: type[SparseFormat]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(format_class))  # type: ignore[arg-type]
