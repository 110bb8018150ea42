"""Machines that cannot exist: zero bandwidth, negative sizes, an unknown dtype, no price for a MAC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simsparse.errors import nearest
from simsparse.hardware import DTYPE_BITS
from simsparse.load.hardware_families import STRICT, unfit
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
    }
)
_ZERO_FINE = frozenset(
    {
        "accumulator_queue",
        "keep",
        "group",
        "fill_cycles",
        "setup_cycles",
        "start_cycles",
        "block_cycles",
        "extra_entries",
        "control_overhead",
        "minimum_busy_cycles",
        "minimum_chunk_cycles",
        "raster_group",
        "input_copies",
        "output_copies",
        "weight_bits",
        "spill_run_bits",
        "coherence",
        "split_below_utilisation",
        "below_rows",
    }
)
"""Parameters of dataflows that may be zero; all others must be above."""
_SHARES = ("efficiency", "_share", "_utilisation", "preference", "coherence", "efficiency_limit")
_LARGEST: tuple[tuple[str, float], ...] = (
    ("run_bits", 16),
    ("step_bits", 16),
    ("_bits", 1024),
    ("units", 65_536),
    ("_hz", 1e13),
    ("_cycles", 1e9),
    ("per_s", 1e18),
    ("_s", 1e3),
    ("_bytes", 1e18),
    ("_nm", 1e6),
    ("_w", 1e9),
)
"""What nothing exceeds, by the end of a name; a machine beyond is a slip of the keyboard."""
_LEAST = {"clock_hz": 1e3, "bandwidth_bytes_per_s": 1e6}
"""Below these nothing is a machine, and cycles of a layer overflow."""
_LARGEST_SIZE = 2**20  # any other parameter of a dataflow: tiles, queues, entries
_LARGEST_RATE = 1e12


def impossible(data: Any) -> list[Mistake]:
    """What is impossible in the plain data of a machine; values of the wrong type are left to validation."""
    if not isinstance(data, dict):
        return []
    return [*_signs(data, ()), *_dtypes(data), *_levels(data), *_energies(data), *unfit(data)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _signs(data: Any, location: Location, known: bool = False) -> Iterator[Mistake]:
    """Numbers below, at or beyond what they can be; ``known`` where the dataflow's family is."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _signs(value, (*location, key), known or _is_known(value))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _signs(value, (*location, index), known)
    elif _number(data):
        yield from _sign(data, location, known)


def _is_known(data: Any) -> bool:
    return isinstance(data, dict) and data.get("family") in STRICT


def _sign(data: float, location: Location, known: bool) -> Iterator[Mistake]:
    name = str(next(part for part in reversed(location) if isinstance(part, str)))
    above = name in _ABOVE_ZERO or location[0] == "macs_per_cycle" or (known and name not in _ZERO_FINE)
    most = _largest(name, known)
    unit = f" in {unit_of(name)}" if unit_of(name) else ""
    if data < 0 or (above and data == 0):
        out = "leave it out where nothing limits" if name in _OPTIONAL else f"change {name}"
        yield location, f"expected a number {'>' if above else '>='} 0{unit}, got {data:g} ({out})"
    elif data < _LEAST.get(name, 0.0):
        yield location, f"expected a number >= {_LEAST[name]:g}{unit}, got {data:g} (change {name})"
    elif data > most:
        yield location, f"expected a number <= {most:g}{unit}, got {data:g} (change {name})"


def _largest(name: str, known: bool) -> float:
    """The largest value that a number can have; ``known`` for one of a known dataflow."""
    if known and name.endswith(_SHARES):
        return 1.0
    for ending, most in _LARGEST:
        if name.endswith(ending):
            return most
    return _LARGEST_SIZE if known and "per" not in name.split("_") else _LARGEST_RATE


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
