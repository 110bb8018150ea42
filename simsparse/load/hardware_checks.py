"""Machines that cannot exist: zero bandwidth, negative sizes, an unknown dtype, no price for a MAC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simsparse.errors import nearest
from simsparse.hardware import DTYPE_BITS
from simsparse.load.quoting import shown
from simsparse.load.wording import unit_of
from simsparse.load.yaml_tree import Location

Mistake = tuple[Location, str]
_ABOVE_ZERO = frozenset(
    {
        "clock_hz",
        "technology_nm",
        "units",
        "bandwidth_bytes_per_s",
        "capacity_bytes",
        "tdp_w",
        "vector_operations_per_cycle",
        "decode_weights_per_cycle",
        "rows",
        "columns",
    }
)


def impossible(data: Any) -> list[Mistake]:
    """What is impossible in the plain data of a machine; values of the wrong type are left to validation."""
    if not isinstance(data, dict):
        return []
    return [*_signs(data, ()), *_dtypes(data), *_levels(data), *_energies(data)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _signs(data: Any, location: Location) -> Iterator[Mistake]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _signs(value, (*location, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _signs(value, (*location, index))
    elif _number(data):
        above = location[-1] in _ABOVE_ZERO or location[0] == "macs_per_cycle"
        if data < 0 or (above and data == 0):
            unit = f" in {unit_of(str(location[-1]))}" if unit_of(str(location[-1])) else ""
            out = (
                "leave it out where nothing limits" if location[-1] in _OPTIONAL else f"change {location[-1]}"
            )
            yield (
                location,
                f"expected a number {'>' if above else '>='} 0{unit}, got {data:g} ({out})",
            )


_OPTIONAL = frozenset(
    {
        "bandwidth_bytes_per_s",
        "capacity_bytes",
        "tdp_w",
        "vector_operations_per_cycle",
        "decode_weights_per_cycle",
    }
)


def _dtypes(data: dict[str, Any]) -> Iterator[Mistake]:
    macs = data.get("macs_per_cycle")
    if not isinstance(macs, dict):
        return
    for dtype in macs:
        if dtype not in DTYPE_BITS:
            yield ("macs_per_cycle", dtype), _expected_one_of(dtype, list(DTYPE_BITS))
    default = data.get("default_dtype")
    if isinstance(default, str) and default not in macs:
        yield ("default_dtype",), _expected_one_of(default, list(macs))
    if not macs:
        yield (
            ("macs_per_cycle",),
            f"expected at least one dtype, got nothing (known: {', '.join(DTYPE_BITS)})",
        )


def _levels(data: dict[str, Any]) -> Iterator[Mistake]:
    memory = data.get("memory")
    if not isinstance(memory, list):
        return
    if not memory:
        yield (
            ("memory",),
            "expected at least one level, got an empty list (start with the outermost, such as dram)",
        )
    seen: set[str] = set()
    for index, level in enumerate(memory):
        name = level.get("name") if isinstance(level, dict) else None
        if isinstance(name, str):
            if name in seen:
                yield (
                    ("memory", index, "name"),
                    f"expected each level once, got {shown(name)} again (rename one)",
                )
            seen.add(name)


def _energies(data: dict[str, Any]) -> Iterator[Mistake]:
    energy, macs = data.get("energy_pj"), data.get("macs_per_cycle")
    if not isinstance(energy, dict) or not isinstance(macs, dict):
        return
    priced = energy.get("mac")
    if priced is None:
        yield ("energy_pj",), "expected pJ per multiply-add, got no mac (add mac: with one entry per dtype)"
    elif isinstance(priced, dict):
        for dtype in macs:
            if dtype in DTYPE_BITS and dtype not in priced:
                yield (
                    ("energy_pj", "mac"),
                    f"expected pJ per multiply-add in {dtype}, got nothing (add {dtype}: …)",
                )


def _expected_one_of(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    out = f"did you mean {', '.join(near)}?" if near else f"write {known[0]}" if known else "add one"
    return f"expected one of {', '.join(known)}, got {shown(name)} ({out})"
