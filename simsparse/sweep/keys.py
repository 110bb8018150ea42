"""A point's key: a hash of everything that determines its result, file contents included.

Names of files and comments in them do not count, the machine with its energies and the model's layers and
weights do. The same point has the same key wherever and whenever it is computed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from simsparse.errors import SimsparseError
from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.load.phases import TRAIN
from simsparse.pruning.allocation import ALLOCATIONS
from simsparse.pruning.profiles import find_profile
from simsparse.sweep.points import Grid, Point

MODEL_VERSION = 1
"""Raised whenever the same point gives another result: results of older programs are then computed anew."""
_ABOUT = ("title", "description", "not_modelled", "sources", "name")


class Keys:
    """Keys of points of one grid; each model and machine is hashed once."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._digests: dict[Any, str] = {}

    def key(self, point: Point) -> str:
        """32 hexadecimal digits."""
        words = point.to_dict()
        for name in ("purpose", "model", "hardware", "batch", "seq", "columns", "phase"):
            del words[name]
        if point.phase == TRAIN:  # the other phases show in the model's layers
            words["phase"] = TRAIN
        workload, machine = self._grid.workload(point), self._grid.machines[point.hardware]
        return _digest(
            {
                **words,
                "model": self._once(id(workload), lambda: model_digest(workload)),
                "hardware": self._once(id(machine), lambda: machine_digest(machine)),
                "allocation": self._allocation(point, workload),
                "program": [_release(), MODEL_VERSION],
            }
        )

    def _allocation(self, point: Point, workload: Workload) -> str:
        if point.allocation in ALLOCATIONS:
            return point.allocation
        try:
            profile = find_profile(point.allocation, workload)
        except SimsparseError:  # the point will say so itself
            return point.allocation
        return self._once((point.allocation, id(workload)), lambda: _digest(profile))

    def _once(self, name: Any, make: Any) -> str:
        if name not in self._digests:
            self._digests[name] = make()
        return self._digests[name]


def _release() -> str:
    try:
        return version("simsparse")
    except PackageNotFoundError:
        return ""


def machine_digest(machine: HardwareModel) -> str:
    """A hash of what determines a machine's results: its numbers, not its words."""
    return _digest(
        {
            item.name: getattr(machine, item.name)
            for item in dataclasses.fields(machine)
            if item.name not in _ABOUT
        }
        | {"family": type(machine.dataflow).__name__}
    )


def model_digest(workload: Workload) -> str:
    """A hash of a model's layers and of every weight that it brought."""
    parts = [
        _digest({"layers": workload.layers, "batch": workload.batch, "unsupported": workload.unsupported})
    ]
    for layer in workload.layers:
        if layer.name in workload.weights:
            values = workload.weights[layer.name]
            parts.append(f"{layer.name} {values.dtype} {hashlib.blake2b(values.tobytes()).hexdigest()}")
    return _digest(parts)


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, default=_plain, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return dict(value) if hasattr(value, "items") else str(value)
