"""The machine file of this host: every number with where it comes from, as any other file of a machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simsparse.hardware import CpuRowsParameters
from simsparse.hardware.cpu import CoreMemory
from simsparse.measure.calibrate_limits import HostCpu, HostLimits, read_curve

_MEASURED, _FITTED = ("calibrate", "verified"), ("calibrate-fit", "fitted")
_SYSTEM = ("operating-system", "verified")
_UNPACKED = ("vnm", "coo", "csc", "ell", "sell", "hbitmask", "rle4", "rle5", "delta", "dia")
_ONE_THREAD = ("up to here our dense products stay on one thread", "derived")
_INDEX_BITS = "32-bit indices and row pointers, as CPU libraries store them"
_ENERGY = {
    "core": ("cycle", 500.0, "half a nanojoule per core and cycle; not measured"),
    "l1": ("byte", 1.0, "32 KiB SRAM, about 8 pJ per 8 bytes; not measured"),
    "l2": ("byte", 1.75, "1 MiB SRAM, about 14 pJ per 8 bytes; not measured"),
    "l3": ("byte", 5.0, "32 MB in banks and the way across the die; not measured"),
    "vector": ("operation", 40.0, "share of a vector instruction; not measured"),
}


def host_memory(cpu: HostCpu, limits: HostLimits) -> CoreMemory:
    """The caches as measured; what the kernels wait for is fitted afterwards."""
    sizes, rates = read_curve(limits.one, cpu.cache_bytes[3])
    l3 = cpu.cache_bytes[3]
    return CoreMemory(
        footprint_bytes=sizes,
        read_bytes_per_cycle=tuple(rate / limits.clock_hz for rate in rates),
        l1_bytes=cpu.cache_bytes[1],
        l2_bytes=cpu.cache_bytes[2],
        l1_usable_bytes=0.93 * cpu.cache_bytes[1],
        l3_sharers=cpu.l3_sharers,
        l3_usable_bytes=0.33 * l3,
        l3_written_bytes=0.27 * l3,
        cold_above_bytes=3e6,
        cold_call_cycles=2e5,
        refill_cycles_per_byte=0.3,
        dram_bytes_per_cycle=limits.one.dram_bytes_per_s / limits.clock_hz,
        dram_efficiency=1.0,
    )


def machine_text(
    cpu: HostCpu, limits: HostLimits, parameters: CpuRowsParameters, sources: Mapping[str, str]
) -> str:
    """The YAML of the host; ``sources`` hold the texts of ``calibrate``, ``calibrate-fit``, ``system``."""
    document = {
        "name": "host",
        "title": f"{cpu.model}, as calibrated",
        "kind": "cpu",
        "description": f"This host: {cpu.threads} threads of {cpu.model}, {cpu.isa} vectors.",
        "sources": dict(sources),
        "clock_hz": _number(round(limits.clock_hz), *_MEASURED),
        "technology_nm": _number(7, "not known; energies are rough", "assumed"),
        "units": _number(cpu.threads, *_SYSTEM),
        "macs_per_cycle": _macs(limits),
        "default_dtype": "fp32",
        "memory": _levels(cpu, limits),
        "dataflow": _dataflow(parameters),
        "formats": _formats(),
        "energy_pj": _energies(),
        "vector_operations_per_cycle": _number(
            cpu.threads * limits.macs_per_cycle / 2, "one vector operation per cycle and core", "derived"
        ),
        "launch_s": _number(0.0, "each kernel's launch_cycles hold it", "derived"),
        "static_w": _number(20.0, "idle power of a socket's share; not measured", "assumed"),
        "not_modelled": [
            "energy: no counter was read, figures are typical ones",
            "other programs on this host; frequency changes",
            "sparse kernels in bf16 and int8 compute in fp32 (only their bytes shrink)",
        ],
    }
    return "\n".join(_lines(document, 0)) + "\n"


def _number(value: float | list[float], source: str, status: str) -> dict[str, Any]:
    return {"value": value, "source": source, "status": status}


def _macs(limits: HostLimits) -> dict[str, Any]:
    widened = "weights are widened to fp32 in the kernels"
    fp32 = _number(limits.macs_per_cycle, *_MEASURED)
    return {"fp32": fp32} | {
        dtype: _number(limits.macs_per_cycle, widened, "derived") for dtype in ("bf16", "int8")
    }


def _levels(cpu: HostCpu, limits: HostLimits) -> list[dict[str, Any]]:
    capacity = {"l3": cpu.cache_bytes[3]} | {
        f"l{level}": cpu.cache_bytes[level] * cpu.threads for level in (2, 1)
    }
    dram = {
        "name": "dram",
        "capacity_bytes": _number(cpu.memory_bytes, *_SYSTEM),
        "bandwidth_bytes_per_s": _number(round(limits.every.dram_bytes_per_s), *_MEASURED),
    }
    caches = [{"name": name, "capacity_bytes": _number(size, *_SYSTEM)} for name, size in capacity.items()]
    return [dram, *caches]


def _dataflow(parameters: CpuRowsParameters) -> dict[str, Any]:
    """Every constant as fitted, but sizes as the system tells them and rates as measured."""
    told = {"l1_bytes": _SYSTEM, "l2_bytes": _SYSTEM, "l3_sharers": _SYSTEM}
    read = {"footprint_bytes": _MEASURED, "read_bytes_per_cycle": _MEASURED}
    assumed = {
        "cold_above_bytes": ("a network of some such layers does not fit the caches", "assumed"),
        "dram_efficiency": ("the bandwidth is a measured one", "derived"),
        "small_macs": ("products that OpenBLAS does not pack, where its build knows them", "assumed"),
        "one_thread_macs": _ONE_THREAD,
        "one_thread_vector_macs": _ONE_THREAD,
        "direct_below_rows": ("fewer rows than a register block of sgemm", "assumed"),
        "wide_step": ("no choice of a kernel asks for it", "assumed"),
    }
    known = told | read | assumed

    def walk(value: Any, name: str) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: walk(getattr(value, field.name), field.name) for field in _fields(value)}
        if isinstance(value, str):
            return value
        rounded = [_rounded(item) for item in value] if isinstance(value, tuple) else _rounded(value)
        return _number(rounded, *known.get(name, _FITTED))

    found: dict[str, Any] = walk(parameters, "")
    return found


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _formats() -> dict[str, Any]:
    bits = {name: _number(32, _INDEX_BITS, "assumed") for name in ("index_bits", "pointer_bits")}
    skipped = {name: {"role": "skip", "parameters": bits} for name in ("csr", "bsr")}
    plain = {name: {"role": "skip"} for name in ("nm", "bitmask")}
    return {"dense": {"role": "store"}, **skipped, **plain} | {name: {"role": "unpack"} for name in _UNPACKED}


def _energies() -> dict[str, Any]:
    macs = {dtype: {"table": "jouppi-7nm", "entry": f"mac-{dtype}"} for dtype in ("fp32", "bf16", "int8")}
    rest = {
        component: {action: _number(value, source, "assumed")}
        for component, (action, value, source) in _ENERGY.items()
    }
    return {"mac": macs, **rest, "dram": {"byte": {"table": "dram", "entry": "ddr5"}}}


def _lines(data: Mapping[str, Any], depth: int) -> list[str]:
    """Blocks for mappings, one line for every number."""
    found, pad = [], "  " * depth
    for key, value in data.items():
        if isinstance(value, Mapping) and not {"value", "table", "role"} & set(value):
            found += [f"{pad}{key}:", *_lines(value, depth + 1)]
        elif isinstance(value, list) and value and not isinstance(value[0], float | int):
            found += [f"{pad}{key}:", *(f"{pad}  - {_inline(item)}" for item in value)]
        else:
            found.append(f"{pad}{key}: {_inline(value)}")
    return found


def _inline(value: Any) -> str:
    """JSON is YAML too."""
    return json.dumps(value, ensure_ascii=False)


def write_machine(path: Path, text: str) -> None:
    """The file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
