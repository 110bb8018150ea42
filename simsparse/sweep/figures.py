"""What is kept of a run: its totals as one JSON object, its layers as a compressed table."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simsparse.results import Cost, LayerResult, Run

OK, FAILED, DIED = "ok", "failed", "died"
"""Computed; refused, for good; the worker died, which may go better next time."""
_COST = (
    "time_s",
    "energy_j",
    "weight_bytes",
    "metadata_bytes",
    "dram_bytes",
    "peak_activation_bytes",
    "macs_dense",
    "macs_done",
    "average_power_w",
)
LAYER_COLUMNS = (
    "name",
    "kind",
    "count",
    "m",
    "k",
    "n",
    "weight_density",
    "format",
    "kernel",
    "bound_by",
    "time_s",
    "energy_j",
    "stored_bytes",
    "baseline_time_s",
    "baseline_energy_j",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one point, as it is stored."""

    key: str
    status: str
    figures: str = ""
    """JSON object; empty where there is no result."""
    layers: bytes = b""
    """Compressed JSON: a list for each of ``LAYER_COLUMNS``."""
    error: str = ""


def row_of(key: str, run: Run) -> Row:
    """The row of a run; figures that are infinite become null."""
    return Row(
        key=key,
        status=OK,
        figures=json.dumps(_figures(run), allow_nan=False),
        layers=zlib.compress(json.dumps(_layers(run), allow_nan=False).encode(), 6),
    )


def failed(key: str, error: BaseException, *, status: str = FAILED) -> Row:
    """The row of a point that raised: its error on one line."""
    from simsparse.errors import SimsparseError

    words = " ".join(str(error).split())
    text = words if isinstance(error, SimsparseError) else f"{type(error).__name__}: {words}"
    return Row(key=key, status=status, error=text)


def layer_columns(row: Row) -> dict[str, list[Any]]:
    """The layers of a row by column."""
    columns: dict[str, list[Any]] = json.loads(zlib.decompress(row.layers))
    return columns


def _share_in(asked: str, weighted: Sequence[LayerResult], elements: int) -> float:
    """Share of the weights stored in the format asked for, or for ``auto`` in another than dense."""

    def agrees(layer: LayerResult) -> bool:
        name = layer.format.partition(":")[0]
        return name != "dense" if asked == "auto" else name == asked

    inside = sum(layer.m * layer.k * layer.count for layer in weighted if agrees(layer))
    return inside / elements if elements else 0.0


def _figures(run: Run) -> dict[str, Any]:
    asked = run.format
    weighted = [layer for layer in run.layers if layer.format]
    elements = sum(layer.m * layer.k * layer.count for layer in weighted)
    kept = sum(layer.weight_density * layer.m * layer.k * layer.count for layer in weighted)
    return {
        "speedup": _finite(run.speedup),
        "energy_ratio": _finite(run.energy_ratio),
        "memory_ratio": _finite(run.memory_ratio),
        **_cost(run.totals, ""),
        **_cost(run.baseline, "baseline_"),
        "format_share": _share_in(asked, weighted, elements),
        "weight_density": kept / elements if elements else 1.0,
        "bound_by": run.bound_by,
        "bound_share": run.bound_share,
        "unsupported_share": sum(part.macs_share for part in run.unsupported),
        "unsupported": len(run.unsupported),
        "approximations": list(run.approximations),
    }


def _cost(cost: Cost, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(cost, name) for name in _COST}


def _layers(run: Run) -> dict[str, list[Any]]:
    pairs = list(zip(run.layers, run.baseline_layers, strict=True))
    return {name: [_cell(name, sparse, dense) for sparse, dense in pairs] for name in LAYER_COLUMNS}


def _cell(name: str, sparse: LayerResult, dense: LayerResult) -> Any:
    if name.startswith("baseline_"):
        return getattr(dense, name.removeprefix("baseline_"))
    return sparse.cost.stored_bytes if name == "stored_bytes" else getattr(sparse, name)


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
