"""Energy of the processor's packages where the system counts it (RAPL), else nothing.

Source: Linux, Documentation/power/powercap/powercap.rst (energy_uj wraps at max_energy_range_uj).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMeter:
    """Counters of all packages, one folder each."""

    packages: tuple[Path, ...]

    def read_uj(self) -> tuple[int, ...]:
        """Microjoules so far, one number per package."""
        return tuple(int((folder / "energy_uj").read_text(encoding="ascii")) for folder in self.packages)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Between two readings that lie less than one turn of a counter apart."""
        total = 0
        for folder, start, end in zip(self.packages, before, after, strict=True):
            total += end - start
            if end < start:
                total += int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        return total * 1e-6


def find_meter(root: Path = POWERCAP) -> EnergyMeter | None:
    """The meter of this host; None where there is none, or only the administrator may read it."""
    meter = EnergyMeter(packages=tuple(sorted(root.glob("intel-rapl:[0-9]*"), key=str)))
    whole = EnergyMeter(packages=tuple(folder for folder in meter.packages if folder.name.count(":") == 1))
    try:
        whole.joules(whole.read_uj(), whole.read_uj())
    except (OSError, ValueError):
        return None
    return whole if whole.packages else None
