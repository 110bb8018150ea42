"""Pricing: counted actions × one energy table, and static power × time. The only file that makes joules."""

from __future__ import annotations

from collections.abc import Mapping

from simsparse.errors import UsageError
from simsparse.hardware import HardwareModel
from simsparse.results import Counts

PJ = 1e-12
STATIC = "static"
"""The component of leakage, clock and idle power."""


def price(counts: Counts, hardware: HardwareModel, time_s: float) -> Mapping[str, float]:
    """Joules by component: Σ count × pJ per action, and ``static_w`` × ``time_s`` under ``static``.

    Raises
    ------
    UsageError
        If an action that was counted has no price in the machine's table.
    """
    energy_j: dict[str, float] = {}
    for (component, action), count in counts.items():
        energy_j[component] = energy_j.get(component, 0.0) + count * pj(hardware, component, action) * PJ
    energy_j[STATIC] = hardware.static_w * time_s
    return energy_j


def pj(hardware: HardwareModel, component: str, action: str) -> float:
    """The table's price of one action in pJ.

    Raises
    ------
    UsageError
        If the table has no such component or action.
    """
    try:
        return hardware.energy_pj[component][action]
    except KeyError:
        known = ", ".join(f"{c}.{a}" for c, actions in hardware.energy_pj.items() for a in actions)
        raise UsageError(
            f"hardware {hardware.name}: energy_pj: expected an entry {component}.{action},"
            f" got {known or 'none'}"
        ) from None
