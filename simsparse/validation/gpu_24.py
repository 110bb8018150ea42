"""Dense and 2:4 products on A100, H100, RTX 3060 and an MI300-class GPU, beside measured times.

Every row says which of a machine's libraries it ran. A row counts as named when its source states the GPU,
the 2:4 library and the dense baseline; only those are checked one by one, all enter the medians.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.load.catalog import load_hardware
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.gpu_timing import Shape, gpu_of, kernel_s, with_library

_TARGET = "gpu-2:4"
_NAMED_TOLERANCE = 0.15
_MEDIANS = {"dense": 0.05, "2:4": 0.10, "speed-up": 0.10}
_UNDECIDED = (0.95, 1.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """Machine and libraries of the rows of one published table."""

    machine: str
    structured: str = ""
    """Library that the machine's file lists beside its default."""
    dtype: str = "fp16"
    named: bool = True
    """Whether GPU, library and dense baseline are all stated."""
    locked_clock: bool = False


_SETUPS = {
    ("A100-80GB", "CUTLASS sparse vs cuBLAS dense"): _Setup(machine="a100-80gb"),
    ("A100-80GB", "PyTorch CUTLASS backend"): _Setup(machine="a100-80gb", structured="pytorch-cutlass"),
    (
        "A100-SXM4 (1410 MHz, 400 W locked)",
        "CUTLASS 16832spgemm vs dense from same thread",
    ): _Setup(machine="a100-80gb", locked_clock=True),
    ("H100", "CUTLASS 3.x profiler, Ampere spgemm kernels on Hopper"): _Setup(
        machine="h100", structured="cutlass-ampere", dtype="bf16"
    ),
    ("RTX 3060", "PyTorch semi-structured (backend not stated in excerpt)"): _Setup(
        machine="rtx-3060", named=False
    ),
    ("AMD gfx942/gfx950 (MI300 class)", "hipSPARSELt vs hipBLASLt, ROCm 6.4, NT"): _Setup(
        machine="mi300x", named=False
    ),
}
"""By GPU and library of the row. Rows that name no GPU are not here, nor are whole networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published row and our times."""

    name: str
    source: str
    named: bool
    ours_ms: tuple[float, float]
    """dense, 2:4"""
    measured_ms: tuple[float, float]

    @property
    def pairs(self) -> dict[str, tuple[float, float]]:
        """Ours and measured, by quantity."""
        ours, measured = self.ours_ms, self.measured_ms
        return {
            "dense": (ours[0], measured[0]),
            "2:4": (ours[1], measured[1]),
            "speed-up": (ours[0] / ours[1], measured[0] / measured[1]),
        }


def rows() -> list[Row]:
    """Every product of the published table whose GPU is stated, simulated."""
    found = []
    for published in table("sparse24_measured"):
        setup = _SETUPS.get((published["gpu"], published["library"]))
        if setup is not None and published["M_or_tokens"]:
            found.append(_simulated(published, setup))
    return found


def checks() -> list[Check]:
    """Medians over all rows, named rows one by one, and whether faster or slower is right."""
    return summary(rows())


def summary(found: Sequence[Row]) -> list[Check]:
    """The checks of simulated rows."""
    made = []
    for quantity, tolerance in _MEDIANS.items():
        errors = [abs(ours / measured - 1) for ours, measured in (row.pairs[quantity] for row in found)]
        made.append(
            _share(f"median error over {len(found)} rows", quantity, float(np.median(errors)), 0, tolerance)
        )
    low, high = _UNDECIDED
    decided = [row.pairs["speed-up"] for row in found if not low <= row.pairs["speed-up"][1] <= high]
    right = float(np.mean([(ours > 1) == (measured > 1) for ours, measured in decided]))
    made.append(_share(f"{len(decided)} rows", "faster or slower said right", right, 1, 0.0))
    for row in found:
        if row.named:
            made += [_row_check(row, quantity) for quantity in _MEDIANS]
    return made


def _simulated(published: dict[str, str], setup: _Setup) -> Row:
    machine = load_hardware(setup.machine)
    if setup.locked_clock:
        gpu = dataclasses.replace(gpu_of(machine), power_ratio=1.0)
        machine = dataclasses.replace(machine, dataflow=gpu)
    shape = _shape(published)
    return Row(
        name=f"{setup.machine} {'x'.join(map(str, shape))}",
        source=published["source"],
        named=setup.named,
        ours_ms=_ours_ms(machine, with_library(machine, setup.structured), shape, setup.dtype),
        measured_ms=(float(published["dense_ms"]), float(published["sparse_ms"])),
    )


def _ours_ms(
    dense: HardwareModel, structured: HardwareModel, shape: Shape, dtype: str
) -> tuple[float, float]:
    times = kernel_s(dense, shape, "dense", dtype=dtype), kernel_s(structured, shape, "nm", dtype=dtype)
    return times[0] * 1e3, times[1] * 1e3


def _shape(published: dict[str, str]) -> Shape:
    """Weights first: a network's layer states its tokens, a bare product the sparse operand's rows."""
    first, k, last = (int(published[name]) for name in ("M_or_tokens", "K", "N"))
    return (last, k, first) if published["what"].startswith("OPT") else (first, k, last)


def _row_check(row: Row, quantity: str) -> Check:
    ours, measured = row.pairs[quantity]
    return Check(
        target=_TARGET,
        row=row.name,
        quantity=quantity,
        ours=ours,
        published=measured,
        unit="" if quantity == "speed-up" else "ms",
        tolerance=_NAMED_TOLERANCE,
        kind="hardware",
        source=row.source,
    )


def _share(row: str, quantity: str, ours: float, published: float, tolerance: float) -> Check:
    return Check(
        target=_TARGET,
        row=row,
        quantity=quantity,
        ours=ours,
        published=published,
        unit="",
        tolerance=tolerance,
        kind="hardware",
        source="data/sparse24_measured.csv, row by row",
        relative=False,
        note="constants fitted once per kernel family and GPU, named in the machines' files",
    )
