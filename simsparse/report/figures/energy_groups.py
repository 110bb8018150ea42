"""Energy by the groups that a reader compares across machines."""

from __future__ import annotations

from collections.abc import Mapping

from simsparse.results import LayerResult, MachineFacts

GROUPS = ("DRAM", "buffers", "registers", "MACs", "vector and control", "metadata", "decode", "leakage")
_CONTROL = {"vector", "sm", "core"}
_MULTIPLIERS = {"mac", "crossbar"}
PJ = 1e-12


def group_of(component: str, action: str) -> str:
    """The group that an action of a component is counted in.

    >>> group_of("l2", "byte"), group_of("weight_spad", "metadata_read"), group_of("static", "")
    ('buffers', 'metadata', 'leakage')
    """
    words = f"{component} {action}"
    if component == "static":
        return "leakage"
    if "metadata" in words or "pointer" in words:
        return "metadata"
    if "decode" in words:
        return "decode"
    if component == "dram":
        return "DRAM"
    if component in _MULTIPLIERS:
        return "MACs"
    if component in _CONTROL:
        return "vector and control"
    near = component.endswith(("register", "registers", "_spad", "queue")) or component in (
        "accumulator",
        "array",
    )
    return "registers" if near else "buffers"


def grouped_j(layer: LayerResult, machine: MachineFacts | None) -> Mapping[str, float]:
    """Joules of all instances of a layer by group; by component where the prices are not known."""
    energy_j: dict[str, float] = {}
    if machine is None:
        for component, joules in layer.cost.energy_by_component_j.items():
            group = group_of(component, "")
            energy_j[group] = energy_j.get(group, 0.0) + joules * layer.count
        return energy_j
    for (component, action), count in layer.counts.items():
        group, joules = group_of(component, action), count * machine.energy_pj[component][action] * PJ
        energy_j[group] = energy_j.get(group, 0.0) + joules * layer.count
    energy_j["leakage"] = machine.static_w * layer.time_s * layer.count
    return energy_j
