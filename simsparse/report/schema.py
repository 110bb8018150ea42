"""The JSON Schema of the object that ``simsparse simulate --json`` prints."""

from __future__ import annotations

from typing import Any

from simsparse.report.json import SCHEMA_VERSION

_TEXT, _NUMBER, _COUNT = (
    {"type": "string"},
    {"type": "number", "minimum": 0},
    {"type": "integer", "minimum": 0},
)
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_RATIO = {"type": ["number", "null"], "minimum": 0, "description": "null where it is infinite"}
_TEXTS = {"type": "array", "items": _TEXT}

_COST: dict[str, Any] = {
    "time_s": _NUMBER,
    "cycles": _NUMBER,
    "energy_j": _NUMBER,
    "energy_by_component_j": {"type": "object", "additionalProperties": _NUMBER},
    "weight_bytes": _COUNT,
    "metadata_bytes": _COUNT,
    "peak_activation_bytes": _COUNT,
    "dram_bytes": _COUNT,
    "macs_dense": _COUNT,
    "macs_done": _COUNT,
    "macs_gated": _COUNT,
    "macs_skipped": _COUNT,
    "average_power_w": _NUMBER,
}
_LAYER: dict[str, Any] = {
    "name": _TEXT,
    "kind": _TEXT,
    "m": _COUNT,
    "k": _COUNT,
    "n": _COUNT,
    "count": {"type": "integer", "minimum": 1, "description": "figures are for one of so many instances"},
    "weight_density": _SHARE,
    "activation_density": _SHARE,
    "format": _TEXT,
    "kernel": _TEXT,
    "bound_by": _TEXT,
    "bound_cycles": _NUMBER,
    "utilisation": _SHARE,
    "balance": _SHARE,
    **_COST,
}


def run_schema() -> dict[str, Any]:
    """The schema of one run."""
    layers = {"type": "array", "items": _record(_LAYER)}
    part = _record({"name": _TEXT, "reason": _TEXT, "macs_share": _SHARE})
    words = (
        "model",
        "hardware",
        "pattern",
        "format",
        "dtype",
        "criterion",
        "allocation",
        "engine",
        "bound_by",
        "verdict",
    )
    properties: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        **dict.fromkeys(words, _TEXT),
        "batch": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer"},
        "versions": {"type": "object", "additionalProperties": _TEXT},
        "approximations": _TEXTS,
        "unsupported": {"type": "array", "items": part},
        "baseline": _record({"name": _TEXT, **_COST}),
        "totals": _record(_COST),
        "speedup": _RATIO,
        "energy_ratio": _RATIO,
        "memory_ratio": _RATIO,
        "bound_share": _SHARE,
        "layers": layers,
        "baseline_layers": layers,
    }
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "simsparse run", **_record(properties)}


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
