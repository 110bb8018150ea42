"""The published tables that ship with the package, each row with its source."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from typing import Any

_FOLDER = files("simsparse.validation") / "data"


def table(name: str) -> list[dict[str, str]]:
    """The rows of ``data/name.csv``."""
    return list(csv.DictReader((_FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()))


def document(name: str) -> Any:
    """The contents of ``data/name.json``."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
