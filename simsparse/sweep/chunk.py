"""The unit of work that an executor gets: points that share their masks, as many as make it worth while.

Models travel by name or path and are read again where the work is done, machines as values. A worker keeps
what the next chunk may need: models, masks (one bit per weight) and dense results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import SimsparseError, UsageError
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Workload
from simsparse.load.phases import TRAIN
from simsparse.model_run import DenseResults, ModelRun, run_together
from simsparse.pattern import Dense, parse_pattern
from simsparse.pruning.arrays import Mask
from simsparse.pruning.prune import prune
from simsparse.pruning.pruned import Pruned
from simsparse.pruning.training import training_step
from simsparse.simulate import finished_run, model_run
from simsparse.sweep.figures import Row, failed, row_of
from simsparse.sweep.keys import model_digest
from simsparse.sweep.memory import Recent
from simsparse.sweep.points import Point

Keyed = tuple[str, Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Points with their keys, grouped by their masks; ``machines`` holds those they name."""

    points: tuple[Keyed, ...]
    machines: Mapping[str, HardwareModel] = field(repr=False)
    models: Mapping[str, Workload] = field(default_factory=dict, repr=False)
    """Models that came as values, without weights of their own."""
    digests: Mapping[tuple[str, int | None, int | None], str] = field(default_factory=dict, repr=False)
    """What the models must hash to, by name, batch and seq."""
    cost_s: float = 0.0


def run_chunk(chunk: Chunk) -> list[Row]:
    """The rows of all points, in their order; a point that raises gets a row that says so."""
    groups: dict[tuple[Any, ...], list[Keyed]] = {}
    for key, point in chunk.points:
        groups.setdefault(point.masks, []).append((key, point))
    rows = {row.key: row for members in groups.values() for row in _run_group(chunk, members)}
    return [rows[key] for key, _ in chunk.points]


def _run_group(chunk: Chunk, members: list[Keyed]) -> list[Row]:
    """Points that share their masks."""
    first = members[0][1]
    digest = chunk.digests[first.model, first.batch, first.seq]
    pruned: Pruned
    try:
        pruned = _masks.get((digest, *first.masks), lambda: _pruned(chunk, first, digest))
        if first.phase == TRAIN:
            pruned = training_step(pruned)
    except Exception as error:  # whatever a model or pattern raises belongs to these points, not to the study
        return [failed(key, error) for key, _ in members]
    ready: list[tuple[Keyed, ModelRun]] = []
    rows: list[Row] = []
    for key, point in members:
        try:
            ready.append(((key, point), _settings(pruned, point, chunk.machines[point.hardware])))
        except SimsparseError as error:
            rows.append(failed(key, error))
    return [*rows, *(_run_ready(ready) if ready else [])]


def _run_ready(ready: list[tuple[Keyed, ModelRun]]) -> list[Row]:
    try:
        outcomes = run_together([settings for _, settings in ready])
    except Exception as error:
        if len(ready) == 1:
            return [failed(ready[0][0][0], error)]
        return [row for single in ready for row in _run_ready([single])]  # so that only the culprit fails
    rows: list[Row] = []
    for ((key, point), settings), outcome in zip(ready, outcomes, strict=True):
        try:
            run = finished_run(settings, outcome, allocation=point.allocation, asked_model=point.model)
            rows.append(row_of(key, run))
        except Exception as error:
            rows.append(failed(key, error))
    return rows


def _settings(pruned: Pruned, point: Point, machine: HardwareModel) -> ModelRun:
    return model_run(
        pruned,
        machine,
        format=point.format,
        dtype=point.dtype,
        activation_density=point.activation_density,
        dense=_dense.get((machine.name, repr(machine), point.dtype), dict),
    )


def _workload(point: Point, digest: str) -> Workload:
    workload = point.load()
    if model_digest(workload) != digest:
        raise UsageError(
            f"{point.model}: expected the file that the study began with, got another (start the study again)"
        )
    return workload


def _pruned(chunk: Chunk, point: Point, digest: str) -> RememberedMasks:
    workload = chunk.models.get(point.model) or _models.get(digest, lambda: _workload(point, digest))
    pattern = parse_pattern(point.pattern)
    pruned = prune(
        workload,
        None if isinstance(pattern, Dense) else pattern,
        criterion=point.criterion,
        allocation=point.allocation,
        seed=point.seed,
        skip=point.skip if not isinstance(pattern, Dense) else (),
    )
    return RememberedMasks(**{item.name: getattr(pruned, item.name) for item in fields(pruned) if item.init})


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedMasks(Pruned):
    """Masks are made once and kept as bits."""

    packed: dict[str, NDArray[np.uint8] | None] = field(default_factory=dict, compare=False, repr=False)

    def mask(self, layer: Layer) -> Mask | None:
        """True where a weight ``(m, k)`` is kept."""
        if layer.name not in self.packed:
            made = Pruned.mask(self, layer)
            self.packed[layer.name] = None if made is None else np.packbits(made)
            return made
        bits = self.packed[layer.name]
        if bits is None:
            return None
        return np.unpackbits(bits, count=layer.m * layer.k).view(np.bool_).reshape(layer.m, layer.k)

    @property
    def nbytes(self) -> int:
        """Bytes of the masks so far."""
        return sum(bits.nbytes for bits in self.packed.values() if bits is not None)


_models: Recent[str, Workload] = Recent(4)
_masks: Recent[Any, RememberedMasks] = Recent(8, most_bytes=256 * 2**20, size=lambda masks: masks.nbytes)
_dense: Recent[Any, DenseResults] = Recent(64)
