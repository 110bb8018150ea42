"""Which formats there are: the built-in ones, and those other packages register as entry points.

Formats load on first use: listing their names imports none of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from simsparse.errors import FormatError, UnknownNameError
from simsparse.pattern import Pattern

if TYPE_CHECKING:
    from simsparse.formats.base import SparseFormat

GROUP = "simsparse.formats"

_BUILT_IN = {
    "dense": "dense:DenseFormat",
    "coo": "coo:CooFormat",
    "csr": "csr:CsrFormat",
    "csc": "csc:CscFormat",
    "bsr": "bsr:BsrFormat",
    "ell": "ell:EllFormat",
    "sell": "sell:SellFormat",
    "bitmask": "bitmask:BitmaskFormat",
    "hbitmask": "hbitmask:HierarchicalBitmaskFormat",
    "rle4": "rle:Rle4Format",
    "rle5": "rle:Rle5Format",
    "delta": "delta:DeltaFormat",
    "nm": "nm:NmFormat",
    "vnm": "vnm:VnmFormat",
    "dia": "dia:DiaFormat",
}


def format_names() -> tuple[str, ...]:
    """Names of all formats, built-in ones first."""
    return (*_BUILT_IN, *_third_party())


def format_class(name: str) -> type[SparseFormat]:
    """The class of a format's name.

    Raises
    ------
    UnknownNameError
        If no format has that name; says the nearest ones.
    FormatError
        If another package's entry point is no format of that name.
    """
    from simsparse.formats.base import SparseFormat

    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name].split(":")
        found: object = getattr(import_module(f"simsparse.formats.{module}"), attribute)
    elif name in _third_party():
        found = _load(_third_party()[name])
    else:
        raise UnknownNameError("format", name, format_names())
    if not (isinstance(found, type) and issubclass(found, SparseFormat) and found.name == name):
        raise FormatError(
            f'format {name}: expected a SparseFormat class named "{name}", got {found!r} (mend its package)'
        )
    return found


def make_format(text: str, *, pattern: Pattern | None = None) -> SparseFormat:
    """The format that ``text`` names: a bare name, or one with parameters (``csc:banks=64:run_bits=4``).

    A bare name takes its parameters from ``pattern`` where they fit (N:M, V:N:M, block), else its defaults.

    Raises
    ------
    UnknownNameError
        If no format has that name.
    FormatError
        If a parameter is unknown or out of range.

    >>> from simsparse.pattern import parse_pattern
    >>> str(make_format("nm", pattern=parse_pattern("4:8")))
    'nm:4:8'
    >>> str(make_format("csc:banks=64:run_bits=4"))
    'csc:banks=64:run_bits=4'
    """
    from simsparse.formats.text import from_text

    name, colon, _ = text.partition(":")
    found = format_class(name)
    return from_text(found, text) if colon else found.for_pattern(pattern)


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise FormatError(
            f"format {point.name}: expected {point.value} to load, got {error} (mend its package)"
        ) from error


@functools.cache
def _third_party() -> dict[str, EntryPoint]:
    found: Iterable[EntryPoint] = entry_points(group=GROUP)
    return {point.name: point for point in found if point.name not in _BUILT_IN}
