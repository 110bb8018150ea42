"""Energy between technology nodes.

Source: Stillmaker and Baas, Scaling equations for the accurate prediction of CMOS device performance from
180 nm to 7 nm, Integration 58 (2017) 74-81; coefficients as tabulated in Accelergy's library plug-in
(scaling.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from simsparse.errors import UsageError

DEFAULT_SUPPLY_V = 0.8

_ENERGY_POLYNOMIAL: Mapping[int, tuple[float, float, float]] = {
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.103, -0.362, 0.2767),
    32: (0.9559, -0.7823, 0.471),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}


def _energy_factor(node_nm: float, supply_v: float) -> float:
    """Relative energy at a node, interpolated linearly between tabulated nodes."""
    nodes = sorted(_ENERGY_POLYNOMIAL)
    if not nodes[0] <= node_nm <= nodes[-1]:
        raise UsageError(f"technology: expected a node from {nodes[0]} to {nodes[-1]} nm, got {node_nm:g} nm")

    def at(node: int) -> float:
        a, b, c = _ENERGY_POLYNOMIAL[node]
        return a * supply_v**2 + b * supply_v + c

    lower = max(node for node in nodes if node <= node_nm)
    upper = min(node for node in nodes if node >= node_nm)
    if lower == upper:
        return at(lower)
    share = (node_nm - lower) / (upper - lower)
    return at(lower) * (1 - share) + at(upper) * share


def energy_scale(from_nm: float, to_nm: float, *, supply_v: float = DEFAULT_SUPPLY_V) -> float:
    """Factor that takes an energy at ``from_nm`` to ``to_nm`` at the same supply.

    Raises
    ------
    UsageError
        If a node lies outside 7 to 130 nm.

    >>> energy_scale(45, 45)
    1.0
    >>> round(energy_scale(45, 16), 3)
    0.174
    """
    return _energy_factor(to_nm, supply_v) / _energy_factor(from_nm, supply_v)
