"""Parameters of the GPU family: thread-block tiles on streaming multiprocessors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTilesParameters:
    """Thread-block tiles dispatched to SMs; see ``dataflows/gpu_tiles.py``."""

    family: Literal["gpu-tiles"] = "gpu-tiles"
