"""Small studies that take milliseconds a point."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import simsparse
from simsparse.sweep.study import Study

LISTS: dict[str, Any] = {
    "models": ["gemm:64,64,32", "gemm:96,48,16"],
    "on": ["eie", "tpu-like"],
    "prune": ["unstructured:0.5:0.9:3", "2:4"],
    "format": ["csc", "bitmask"],
}


def study(**changes: Any) -> Study:
    """The small study, in this process unless told otherwise."""
    lists = {"executor": "serial", "crossover": False, **LISTS, **changes}
    return simsparse.sweep(lists.pop("models"), **lists)


def content(folder: Path) -> list[tuple[Any, ...]]:
    """Everything that a study's folder says about its points, in order."""
    file = sqlite3.connect(folder / "study.sqlite")
    query = (
        "SELECT point, key, status, figures, layers, error FROM points LEFT JOIN results USING (key)"
        " ORDER BY ordinal"
    )
    rows = file.execute(query).fetchall()
    file.close()
    return rows
