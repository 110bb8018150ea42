"""Short makers of the two kinds of stored arrays."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from simsparse.errors import FormatError
from simsparse.formats.arrays import narrow, value_width
from simsparse.formats.base import Field, SparseFormat


def values_field(raw: NDArray[Any], padding: int = 0) -> Field:
    """Values as raw bits, ``padding`` of them padding slots."""
    return Field(data=raw, bits=value_width(raw.dtype), role="value", padding=padding)


def metadata_field(data: NDArray[Any], bits: int, padding: int = 0) -> Field:
    """Positions, pointers or mask bits of ``bits`` bits each, ``padding`` of them of padding entries."""
    return Field(data=narrow(data, bits), bits=bits, role="metadata", padding=padding)


def expect_parameter(format_: SparseFormat, parameter: str, low: int, high: int | None = None) -> None:
    """Check an integer parameter of a format; None passes where it means "as many as needed".

    Raises
    ------
    FormatError
        If it is out of ``low`` … ``high``.
    """
    value = getattr(format_, parameter)
    if value is not None and (value < low or (high is not None and value > high)):
        top = "" if high is None else f" and <= {high}"
        raise FormatError(f"{format_.name}: expected {parameter} >= {low}{top}, got {value}")
