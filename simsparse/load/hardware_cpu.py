"""What of a CPU's parameters cannot be: its caches and rates. A kernel's step may cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from simsparse.load.yaml_tree import Location

Mistake = tuple[Location, str]

_MAY_BE_ZERO = ("cold_above_bytes", "cold_call_cycles", "refill_cycles_per_byte")
LINE_BYTES = 16
"""No cache, and no part of one that data finds, is smaller: a vector of four floats."""


def cpu_mistakes(flow: dict[str, Any]) -> Iterator[Mistake]:
    """Mistakes in the plain data of a ``cpu-rows`` dataflow."""
    memory, panel = flow.get("memory"), flow.get("panel")
    if isinstance(memory, dict):
        yield from _memory(memory)
    for at, value in _lists(flow, ("dataflow",)):
        if not value:
            yield at, f"expected at least one number, got an empty list (add one to {at[-1]})"
    if isinstance(panel, dict) and panel.get("branch_capacity") == 0:
        yield (
            ("dataflow", "panel", "branch_capacity"),
            "expected a number > 0, got 0 (change branch_capacity)",
        )


def _memory(memory: dict[str, Any]) -> Iterator[Mistake]:
    at: Location = ("dataflow", "memory")
    for name, value in memory.items():
        for place, number in _numbers(value, (*at, name)):
            if number == 0 and name not in _MAY_BE_ZERO:
                yield place, f"expected a number > 0, got 0 (change {name})"
            elif 0 < number < LINE_BYTES and name.endswith("_bytes") and name not in _MAY_BE_ZERO:
                yield place, f"expected at least {LINE_BYTES} bytes, a vector, got {number:g} (enlarge it)"
    if isinstance(share := memory.get("dram_efficiency"), int | float) and share > 1:
        yield (*at, "dram_efficiency"), f"expected a number <= 1, got {share:g} (a share of the peak)"
    sizes = [number for _, number in _numbers(memory.get("footprint_bytes"), at)]
    rates = memory.get("read_bytes_per_cycle")
    if isinstance(rates, list) and len(rates) != len(sizes):
        said = f"expected one for each of {len(sizes)} footprint_bytes, got {len(rates)}"
        yield (*at, "read_bytes_per_cycle"), f"{said} (make the lists equally long)"
    if sizes and min(sizes) > 0 and any(a >= b for a, b in pairwise(sizes)):
        shown = ", ".join(f"{size:g}" for size in sizes)
        yield (*at, "footprint_bytes"), f"expected ascending sizes, got {shown} (sort them)"


def _lists(value: Any, at: Location) -> Iterator[tuple[Location, list[Any]]]:
    if isinstance(value, list):
        yield at, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _lists(item, (*at, key))


def _numbers(value: Any, at: Location) -> Iterator[tuple[Location, float]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, (*at, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield at, value
