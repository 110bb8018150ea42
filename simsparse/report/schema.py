"""The JSON Schema of what ``simsparse simulate --json`` and ``simsparse explain --json`` print."""

from __future__ import annotations

from typing import Any

from simsparse.report.json import SCHEMA_VERSION

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT, _NUMBER, _COUNT = (
    {"type": "string"},
    {"type": "number", "minimum": 0},
    {"type": "integer", "minimum": 0},
)
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_RATIO = {"type": ["number", "null"], "minimum": 0, "description": "null where it is infinite"}
_TEXTS = {"type": "array", "items": _TEXT}


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _mapping(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": items}


def _or_null(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"type": ["object", "null"]}


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
    "unit_load": {
        "type": "array",
        "items": _NUMBER,
        "description": "quantiles of the units' busy time / their mean; empty where there is one unit",
    },
    **_COST,
    "counts": _mapping(_mapping(_COUNT)),
}
_TERM: dict[str, Any] = {"name": _TEXT, "factor": _NUMBER, "meaning": _TEXT, "remedy": _TEXT}
_EXPLANATION: dict[str, Any] = {
    "model": _TEXT,
    "hardware": _TEXT,
    "pattern": _TEXT,
    "ideal_speedup": _NUMBER,
    "speedup": _NUMBER,
    "terms": {"type": "array", "items": _record(_TERM)},
}
_SOURCED: dict[str, Any] = {
    "value": {"type": ["number", "array"], "items": {"type": "number"}},
    "unit": _TEXT,
    "source": _TEXT,
    "status": _TEXT,
}
_MACHINE: dict[str, Any] = {
    "title": _TEXT,
    "kind": _TEXT,
    "technology_nm": _NUMBER,
    "units": _COUNT,
    "peak_macs_per_s": _NUMBER,
    "bandwidth_bytes_per_s": _mapping(_NUMBER),
    "formats": _mapping(_mapping({"type": "integer"})),
    "energy_pj": _mapping(_mapping(_NUMBER)),
    "static_w": _NUMBER,
    "numbers": _mapping(_record(_SOURCED)),
    "not_modelled": _TEXTS,
}


def explanation_schema() -> dict[str, Any]:
    """The schema of what ``simsparse explain --json`` prints."""
    return {"$schema": DRAFT, "title": "simsparse explanation", **_record(_EXPLANATION)}


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
        "asked_model",
        "asked_pattern",
        "engine",
        "bound_by",
        "verdict",
    )
    properties: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        **dict.fromkeys(words, _TEXT),
        "batch": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer"},
        "tdp_w": {"type": ["number", "null"], "minimum": 0},
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
        "explanation": _or_null(_record(_EXPLANATION)),
        "machine": _or_null(_record(_MACHINE)),
    }
    return {"$schema": DRAFT, "title": "simsparse run", **_record(properties)}
