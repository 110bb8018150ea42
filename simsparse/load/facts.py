"""What a reader of a run needs to know of the machine it ran on."""

from __future__ import annotations

from simsparse.hardware import HardwareModel
from simsparse.load.hardware_yaml import numbers
from simsparse.load.wording import unit_of
from simsparse.results import MachineFacts, SourcedNumber


def machine_facts(hardware: HardwareModel, dtype: str) -> MachineFacts:
    """Roofs in ``dtype``, prices, and every number with its source."""
    return MachineFacts(
        title=hardware.title,
        kind=str(hardware.kind),
        technology_nm=float(hardware.technology_nm),
        units=hardware.units,
        peak_macs_per_s=float(hardware.peak_macs_per_s(dtype)),
        bandwidth_bytes_per_s={
            level.name: float(level.bandwidth_bytes_per_s)
            for level in hardware.memory
            if level.bandwidth_bytes_per_s is not None
        },
        formats={name: dict(support.parameters) for name, support in hardware.formats.items()},
        energy_pj={
            component: {action: float(price) for action, price in actions.items()}
            for component, actions in hardware.energy_pj.items()
        },
        static_w=float(hardware.static_w),
        numbers=_sourced(hardware),
        not_modelled=tuple(hardware.not_modelled),
    )


def path_unit(path: str) -> str:
    """The unit of a number by its own name, or by the record it stands in.

    >>> path_unit("energy_pj.mac.int8"), path_unit("memory.dram.latency_s"), path_unit("dataflow.rows")
    ('pJ', 's', '')
    """
    first, *_, last = path.split(".") if "." in path else (path, path)
    return unit_of(first) if first in ("energy_pj", "macs_per_cycle") else unit_of(last)


def _sourced(hardware: HardwareModel) -> dict[str, SourcedNumber]:
    found = {}
    for path, value in numbers(hardware):
        source = hardware.sources.get(path)
        found[path] = SourcedNumber(
            value=tuple(map(float, value)) if isinstance(value, tuple) else float(value),
            unit=path_unit(path),
            source=source.text if source else "",
            status=source.status if source else "default",
        )
    return found
