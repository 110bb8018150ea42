"""What each dataflow family needs of the rest of a machine: levels, formats it can use, units that fit.

A machine may be well-formed and still impossible: a skipping format on a dataflow that skips nothing, a grid
that does not add up to the units, a buffer that does not hold one tile. Values of the wrong type are left to
validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simsparse.hardware import DTYPE_BITS
from simsparse.hardware.cartesian import HASHED_BANKS
from simsparse.load.hardware_cpu import cpu_mistakes
from simsparse.load.quoting import shown
from simsparse.load.yaml_tree import Location

Mistake = tuple[Location, str]
Data = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Of one family: levels that must be there, and formats by role; None where any goes."""

    levels: tuple[str, ...] = ()
    skips: tuple[str, ...] | None = ()
    gates: tuple[str, ...] | None = ()


NEEDS: Mapping[str, Needs] = {
    "systolic": Needs(levels=("dram", "buffer"), gates=None),
    "tensor-core": Needs(levels=("dram", "smem"), skips=("nm",)),
    "broadcast-csc": Needs(skips=("csc",)),
    "scalar-csc": Needs(skips=("csc",)),
    "mesh-csc": Needs(levels=("dram",), skips=("csc",)),
    "cartesian": Needs(levels=("dram",), skips=("rle4", "rle5")),
    "planar-dense": Needs(levels=("dram",), gates=None),
    "row-stationary": Needs(levels=("dram",), gates=None),
    "flexible-tree": Needs(levels=("dram",), skips=("bitmask",)),
    "outer-product": Needs(levels=("dram",), skips=("bitmask",)),
    "inner-join": Needs(levels=("dram",), skips=("bitmask",)),
    "indexed-synapse": Needs(levels=("dram",), skips=("csr", "delta")),
    "format-port": Needs(skips=("coo", "bitmask"), gates=("coo", "bitmask")),
    "gpu-tiles": Needs(levels=("dram", "l2"), skips=("nm", "vnm", "csr", "bsr")),
    "cpu-rows": Needs(levels=("dram",), skips=None, gates=None),
}
"""Families that are not listed are checked by their own records only."""
STRICT = frozenset(NEEDS) - {"cpu-rows"}
"""Families most of whose parameters are above zero; what a step of a CPU's kernels costs may be nothing."""

_KERNEL_OF = {"nm": ("structured",), "vnm": ("vnm",), "csr": ("csr",), "bsr": ("bsr", "vectors")}
"""Part of a GPU's dataflow that takes each format."""


def unfit(data: Data) -> Iterator[Mistake]:
    """What of the plain data of a machine does not fit its dataflow family."""
    flow = data.get("dataflow")
    family = flow.get("family") if isinstance(flow, dict) else None
    if not isinstance(flow, dict) or not isinstance(family, str) or family not in NEEDS:
        return
    yield from _levels(data, family)
    yield from _roles(data, family)
    yield from _parameters(data)
    check = _CHECKS.get(family)
    if check is not None:
        yield from check(data, flow)


def _levels(data: Data, family: str) -> Iterator[Mistake]:
    memory = data.get("memory")
    if not isinstance(memory, list) or not memory:
        return
    names = [level.get("name") for level in memory if isinstance(level, dict)]
    for needed in NEEDS[family].levels:
        if needed not in names:
            got = ", ".join(str(name) for name in names)
            yield ("memory",), f"expected a level called {needed} for a {family} machine, got {got} (add it)"


def _roles(data: Data, family: str) -> Iterator[Mistake]:
    needs = NEEDS[family]
    for name, support in _formats(data):
        role = support.get("role")
        for word, able in (("skip", needs.skips), ("gate", needs.gates)):
            if role == word and able is not None and name not in able:
                known = f"{word}s only {', '.join(able)}" if able else f"{word}s nothing"
                yield (
                    ("formats", name, "role"),
                    f"expected store, as a {family} machine {known}, got {word} (write store)",
                )


def _formats(data: Data) -> Iterator[tuple[str, Data]]:
    formats = data.get("formats")
    if isinstance(formats, dict):
        for name, support in formats.items():
            if isinstance(name, str) and isinstance(support, dict):
                yield name, support


def _parameters(data: Data) -> Iterator[Mistake]:
    """Format names and parameters, as the formats themselves judge them."""
    from dataclasses import fields, replace

    from simsparse.errors import SimsparseError
    from simsparse.formats import format_names, make_format

    for name, support in _formats(data):
        if name not in format_names():
            known = ", ".join(format_names())
            yield ("formats", name), f"expected a storage format, got {shown(name)} (known: {known})"
            continue
        given = support.get("parameters")
        if not given:
            continue  # formats bring numba, which checking a file should not need
        made = make_format(name)
        taken = [item.name for item in fields(made)]  # type: ignore[arg-type]
        for key, value in given.items() if isinstance(given, dict) else ():
            at: Location = ("formats", name, "parameters", key)
            if key not in taken:
                yield at, f"expected one of {', '.join(taken) or 'none'}, got {shown(key)} (remove it)"
            elif isinstance(value, int) and not isinstance(value, bool):
                try:
                    made = replace(made, **{key: value})  # type: ignore[type-var]
                except SimsparseError as error:
                    yield at, f"{error} (change {key})"


def _whole(data: Data, *names: str) -> list[int] | None:
    """Positive whole numbers by name, or None if any is something else."""
    values = [data.get(name) for name in names]
    if all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values):
        return [int(value) for value in values]  # type: ignore[arg-type]
    return None


def _grid(data: Data, flow: Data) -> Iterator[Mistake]:
    key = "grid" if "grid" in flow else "array"
    grid, units = flow.get(key), _whole(data, "units")
    if units is None or not isinstance(grid, list) or not all(isinstance(side, int) for side in grid):
        return
    if math.prod(grid) != units[0]:
        sides = " x ".join(map(str, grid))
        yield (
            ("dataflow", key),
            f"expected rows x columns = {units[0]} units, got {sides} (change one)",
        )


def _systolic(data: Data, flow: Data) -> Iterator[Mistake]:
    array = _whole(flow, "rows", "columns")
    if array is None:
        return
    dtype, macs = data.get("default_dtype"), data.get("macs_per_cycle")
    rate = macs.get(dtype) if isinstance(macs, dict) and isinstance(dtype, str) else None
    if isinstance(rate, int | float) and rate > math.prod(array):
        yield (
            ("macs_per_cycle", str(dtype)),
            f"expected at most rows x columns = {math.prod(array)} per cycle, got {rate:g} (change one)",
        )
    yield from _holds(data, "buffer", sum(array), "a row of inputs and one of outputs")


def _tensor_core(data: Data, flow: Data) -> Iterator[Mistake]:
    keep, group = flow.get("keep", 0), flow.get("group", 0)
    if isinstance(keep, int) and isinstance(group, int):
        if keep > group:
            yield ("dataflow", "keep"), f"expected at most group = {group}, got {keep} (N:M keeps N of M)"
        for name, support in _formats(data):
            if support.get("role") == "skip" and not keep:
                yield (
                    ("formats", name, "role"),
                    "expected store, as keep is 0 and the core skips nothing, got skip (set keep and group)",
                )
    if flow.get("tile_n") == []:
        yield ("dataflow", "tile_n"), "expected at least one tile, got an empty list (write 64)"
    tiles, depth = _whole(flow, "tile_m"), _whole(flow, "k_step")
    if tiles and depth:
        yield from _holds(data, "smem", tiles[0] * depth[0], "one k_step of a panel of tile_m rows")


def _broadcast_csc(data: Data, _flow: Data) -> Iterator[Mistake]:
    units = _whole(data, "units")
    for name, support in _formats(data):
        given = support.get("parameters")
        banks = _whole(given, "banks") if isinstance(given, dict) else None
        if units and banks and banks != units:
            yield (
                ("formats", name, "parameters", "banks"),
                f"expected one per PE, {units[0]}, got {banks[0]} (rows are dealt to the PEs in turn)",
            )


def _cartesian(data: Data, flow: Data) -> Iterator[Mistake]:
    yield from _grid(data, flow)
    yield from _at_most(flow, "accumulator_banks", HASHED_BANKS, "what the hash tells apart")


def _scalar_csc(_data: Data, flow: Data) -> Iterator[Mistake]:
    held = _whole(flow, "psum_entries")
    if held:
        yield from _at_most(flow, "row_tile", held[0], "psum_entries")


def _row_stationary(data: Data, flow: Data) -> Iterator[Mistake]:
    yield from _grid(data, flow)
    sizes, widths = _whole(flow, "word_bits", "run_bits"), _widths(data)
    if sizes and widths and sizes[0] < sizes[1] + max(widths):
        yield (
            ("dataflow", "word_bits"),
            f"expected at least run_bits and a value, {sizes[1] + max(widths)}, got {sizes[0]} (widen it)",
        )


def _widths(data: Data) -> list[int]:
    """Bits of a value in each of the machine's dtypes."""
    macs = data.get("macs_per_cycle")
    return [DTYPE_BITS[name] for name in macs if name in DTYPE_BITS] if isinstance(macs, dict) else []


def _cpu(_data: Data, flow: Data) -> Iterator[Mistake]:
    return cpu_mistakes(flow)


def _at_most(flow: Data, name: str, most: int, what: str) -> Iterator[Mistake]:
    found = _whole(flow, name)
    if found and found[0] > most:
        yield ("dataflow", name), f"expected at most {what}, {most}, got {found[0]} (change it)"


def _inner_join(data: Data, flow: Data) -> Iterator[Mistake]:
    sizes, units = _whole(flow, "cluster"), _whole(data, "units")
    if sizes and units and units[0] % sizes[0]:
        yield (
            ("dataflow", "cluster"),
            f"expected a divisor of units = {units[0]}, got {sizes[0]} (clusters are whole)",
        )


def _gpu(data: Data, flow: Data) -> Iterator[Mistake]:
    for name, support in _formats(data):
        parts = _KERNEL_OF.get(name, ())
        if support.get("role") == "skip" and parts and not any(flow.get(part) for part in parts):
            where = " or ".join(f"dataflow.{part}" for part in parts)
            yield (
                ("formats", name),
                f"expected a kernel for it under {where}, got none (add it, or remove {name})",
            )
    for part, keep in (("structured", "group"), ("vnm", "columns")):
        kernel = flow.get(part)
        if not isinstance(kernel, dict):
            continue
        for name in ("keep", keep):
            if kernel.get(name) == 0:
                yield ("dataflow", part, name), f"expected a number > 0, got 0 (change {name})"
        sizes = _whole(kernel, "keep", keep)
        if not sizes:
            continue
        if sizes[0] > sizes[1]:
            yield (
                ("dataflow", part, "keep"),
                f"expected at most {keep} = {sizes[1]}, got {sizes[0]} (change it)",
            )
        rate = kernel.get("rate_factor")
        if isinstance(rate, int | float) and rate > sizes[1] / sizes[0]:
            most = f"{keep} / keep = {sizes[1] / sizes[0]:g}"
            yield (
                ("dataflow", part, "rate_factor"),
                f"expected at most {most}, got {rate:g} (nothing skips more)",
            )
    widest = max(_widths(data), default=0) // 8
    for part in ("csr", "vectors"):
        kernel = flow.get(part)
        line = _whole(kernel, "line_bytes") if isinstance(kernel, dict) else None
        if line and line[0] < widest:
            yield (
                ("dataflow", part, "line_bytes"),
                f"expected at least {widest} bytes, a value, got {line[0]} (enlarge it)",
            )
    yield from _same_length(flow.get("vectors"), ("dataflow", "vectors"), "heights", "block_cycles")
    yield from _gpu_tiles(data, flow)


def _same_length(data: Any, at: Location, names: str, values: str) -> Iterator[Mistake]:
    """Two lists that go together."""
    first, second = (data.get(key) if isinstance(data, dict) else None for key in (names, values))
    if isinstance(first, list) and isinstance(second, list) and (len(first) != len(second) or not first):
        yield (
            (*at, values),
            f"expected one for each of {len(first)} {names}, got {len(second)} (make the lists equally long)",
        )


def _gpu_tiles(data: Data, flow: Data) -> Iterator[Mistake]:
    """A slice of a tile, both operands at one byte a value, must fit an SM's share of the L1."""
    units, room = _whole(data, "units"), _capacity(data, "l1")
    if units is None or room is None:
        return
    for at, tile in _tiles(flow, ("dataflow",)):
        shape = tile["shape"]
        if len(shape) == 3 and all(isinstance(side, int) and side > 0 for side in shape):
            needed = (shape[0] + shape[1]) * shape[2]
            if needed > room / units[0]:
                yield (
                    (*at, "shape"),
                    f"expected a slice of at most {room / units[0]:.0f} bytes, the L1 of an SM,"
                    f" got {needed} (take a smaller tile)",
                )


def _tiles(data: Any, at: Location) -> Iterator[tuple[Location, Data]]:
    if isinstance(data, dict):
        if isinstance(data.get("shape"), list):
            yield at, data
        for key, value in data.items():
            yield from _tiles(value, (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _tiles(value, (*at, index))


def _capacity(data: Data, level: str) -> float | None:
    """Stated bytes of a memory level."""
    memory = data.get("memory")
    for found in memory if isinstance(memory, list) else ():
        size = found.get("capacity_bytes") if isinstance(found, dict) and found.get("name") == level else None
        if isinstance(size, int | float):
            return float(size)
    return None


def _holds(data: Data, level: str, values: int, what: str) -> Iterator[Mistake]:
    """A level must hold so many values of one byte."""
    room = _capacity(data, level)
    if room is not None and 0 < room < values:
        index = next(i for i, found in enumerate(data["memory"]) if found.get("name") == level)
        yield (
            ("memory", index, "capacity_bytes"),
            f"expected at least {values} bytes, {what}, got {room:g} (enlarge {level})",
        )


_CHECKS: Mapping[str, Callable[[Data, Data], Iterator[Mistake]]] = {
    "cartesian": _cartesian,
    "scalar-csc": _scalar_csc,
    "planar-dense": _grid,
    "row-stationary": _row_stationary,
    "systolic": _systolic,
    "tensor-core": _tensor_core,
    "broadcast-csc": _broadcast_csc,
    "inner-join": _inner_join,
    "gpu-tiles": _gpu,
    "cpu-rows": _cpu,
}
