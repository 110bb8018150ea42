"""A run as one JSON object; the same run gives the same bytes."""

from __future__ import annotations

import json
import math
from typing import Any

from simsparse.report.sentences import verdict
from simsparse.results import Cost, Counts, Explanation, LayerResult, MachineFacts, Run

SCHEMA_VERSION = 2
"""1: without machine, explanation, counts and unit_load."""


def to_json(run: Run) -> str:
    """The JSON text of a run, without a line break at its end."""
    return json.dumps(run_to_dict(run), indent=2, ensure_ascii=True, allow_nan=False)


def run_to_dict(run: Run) -> dict[str, Any]:
    """A run as plain data in a fixed order; a ratio that is infinite becomes None.

    Figures of a layer are for one of its ``count`` instances; ``totals`` and ``baseline`` are for all.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "model": run.model,
        "hardware": run.hardware,
        "pattern": run.pattern,
        "format": run.format,
        "dtype": run.dtype,
        "batch": run.batch,
        "criterion": run.criterion,
        "allocation": run.allocation,
        "asked_model": run.asked_model,
        "asked_pattern": run.asked_pattern,
        "engine": run.engine,
        "seed": run.seed,
        "tdp_w": run.tdp_w,
        "versions": dict(sorted(run.versions.items())),
        "approximations": list(run.approximations),
        "unsupported": [
            {"name": part.name, "reason": part.reason, "macs_share": part.macs_share}
            for part in run.unsupported
        ],
        "baseline": {"name": run.baseline_name, **cost_to_dict(run.baseline)},
        "totals": cost_to_dict(run.totals),
        "speedup": _finite(run.speedup),
        "energy_ratio": _finite(run.energy_ratio),
        "memory_ratio": _finite(run.memory_ratio),
        "bound_by": run.bound_by,
        "bound_share": run.bound_share,
        "verdict": " ".join(verdict(run)),
        "layers": [layer_to_dict(layer) for layer in run.layers],
        "baseline_layers": [layer_to_dict(layer) for layer in run.baseline_layers],
        "explanation": explanation_to_dict(run.explanation) if run.explanation else None,
        "machine": _machine_to_dict(run.machine) if run.machine else None,
    }


def layer_to_dict(layer: LayerResult) -> dict[str, Any]:
    """A layer's result as plain data."""
    return {
        "name": layer.name,
        "kind": layer.kind,
        "m": layer.m,
        "k": layer.k,
        "n": layer.n,
        "count": layer.count,
        "weight_density": layer.weight_density,
        "activation_density": layer.activation_density,
        "format": layer.format,
        "kernel": layer.kernel,
        "bound_by": layer.bound_by,
        "bound_cycles": layer.bound_cycles,
        "utilisation": layer.utilisation,
        "balance": layer.balance,
        "unit_load": list(layer.unit_load),
        **cost_to_dict(layer.cost),
        "counts": _counts_to_dict(layer.counts),
    }


def explanation_to_dict(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain data; ``ideal_speedup`` times all factors is ``speedup``."""
    return {
        "model": explanation.model,
        "hardware": explanation.hardware,
        "pattern": explanation.pattern,
        "ideal_speedup": explanation.ideal_speedup,
        "speedup": explanation.speedup,
        "terms": [
            {"name": term.name, "factor": term.factor, "meaning": term.meaning, "remedy": term.remedy}
            for term in explanation.terms
        ],
    }


def _counts_to_dict(counts: Counts) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for (component, action), count in counts.items():
        table.setdefault(component, {})[action] = count
    return table


def _machine_to_dict(machine: MachineFacts) -> dict[str, Any]:
    return {
        "title": machine.title,
        "kind": machine.kind,
        "technology_nm": machine.technology_nm,
        "units": machine.units,
        "peak_macs_per_s": machine.peak_macs_per_s,
        "bandwidth_bytes_per_s": dict(machine.bandwidth_bytes_per_s),
        "formats": {name: dict(parameters) for name, parameters in machine.formats.items()},
        "energy_pj": {component: dict(prices) for component, prices in machine.energy_pj.items()},
        "static_w": machine.static_w,
        "numbers": {
            path: {
                "value": list(number.value) if isinstance(number.value, tuple) else number.value,
                "unit": number.unit,
                "source": number.source,
                "status": number.status,
            }
            for path, number in machine.numbers.items()
        },
        "not_modelled": list(machine.not_modelled),
    }


def cost_to_dict(cost: Cost) -> dict[str, Any]:
    """The figures of a cost as plain data."""
    return {
        "time_s": cost.time_s,
        "cycles": cost.cycles,
        "energy_j": cost.energy_j,
        "energy_by_component_j": dict(sorted(cost.energy_by_component_j.items())),
        "weight_bytes": cost.weight_bytes,
        "metadata_bytes": cost.metadata_bytes,
        "peak_activation_bytes": cost.peak_activation_bytes,
        "dram_bytes": cost.dram_bytes,
        "macs_dense": cost.macs_dense,
        "macs_done": cost.macs_done,
        "macs_gated": cost.macs_gated,
        "macs_skipped": cost.macs_skipped,
        "average_power_w": cost.average_power_w,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
