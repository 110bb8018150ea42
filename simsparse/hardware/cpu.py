"""Parameters of the CPU family: rows of W on cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRowsParameters:
    """Row blocks on cores; see ``dataflows/cpu_rows.py``."""

    family: Literal["cpu-rows"] = "cpu-rows"
