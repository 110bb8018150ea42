"""Points to chunks: what shares masks and machines stays together, and no chunk is too small or too large."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.sweep.chunk import Chunk, Keyed
from simsparse.sweep.points import Grid

SMALLEST_S = 0.25
"""Sending a chunk and writing its rows costs about 2 ms; a chunk of 50 ms would be enough to hide that."""
LARGEST_S = 4.0
_MASK_S_PER_WEIGHT = 5e-8
_TRY_S_PER_WEIGHT = 2.5e-9
_TRY_S_PER_LAYER = 6e-4
_POINT_S_PER_LAYER = 1.2e-4


def estimated_s(points: Sequence[Keyed], grid: Grid) -> float:
    """Roughly what ``points`` cost one process: masks once per group, each format once per machine.

    The constants were fitted on ResNet-50 and BERT on one core of 2.4 GHz; within a factor of two there.
    """
    masks = {point.masks: grid.workload(point) for _, point in points}
    tried: dict[tuple[Any, ...], Workload] = {}
    for _, point in points:
        machine = grid.machines[point.hardware]
        names = tuple(machine.formats) if point.format == "auto" else ("dense", point.format)
        for name in names:
            tried[(*point.masks, machine.name, point.dtype, point.activation_density, name)] = masks[
                point.masks
            ]
    elements = {id(model): sum(layer.weight_elements for layer in model.layers) for model in masks.values()}
    layers = {id(model): sum(layer.kind.is_product for layer in model.layers) for model in masks.values()}
    made = sum(elements[id(model)] * _MASK_S_PER_WEIGHT for model in masks.values())
    ran = sum(
        elements[id(model)] * _TRY_S_PER_WEIGHT + layers[id(model)] * _TRY_S_PER_LAYER
        for model in tried.values()
    )
    kept = sum(len(grid.workload(point).layers) * _POINT_S_PER_LAYER for _, point in points)
    return made + ran + kept


def chunks(
    points: Sequence[Keyed],
    grid: Grid,
    digests: Mapping[tuple[str, int | None, int | None], str],
    *,
    workers: int = 1,
    values: Mapping[str, Workload] | None = None,
) -> list[Chunk]:
    """All points in chunks, the largest first so that no worker is left alone with one at the end."""
    total = estimated_s(points, grid)
    largest = min(LARGEST_S, max(SMALLEST_S, total / (8 * workers)))
    parts = [part for group in _by_masks(points) for part in _split(group, grid, largest)]
    found = [_chunk(part, cost, grid, digests, values or {}) for part, cost in _merged(parts, SMALLEST_S)]
    return sorted(found, key=lambda chunk: -chunk.cost_s)


Part = tuple[list[Keyed], float]


def _by_masks(points: Iterable[Keyed]) -> list[list[Keyed]]:
    groups: dict[tuple[Any, ...], list[Keyed]] = {}
    for key, point in points:
        groups.setdefault(point.masks, []).append((key, point))
    return list(groups.values())


def _setting(keyed: Keyed) -> tuple[str, str, float]:
    point = keyed[1]
    density = -1.0 if point.activation_density is None else point.activation_density
    return point.hardware, point.dtype, density


def _split(group: list[Keyed], grid: Grid, largest: float) -> Iterable[Part]:
    """A group in parts of about ``largest`` seconds; formats of one machine stay together."""
    part: list[Keyed] = []
    cost = 0.0
    for _, members in groupby(sorted(group, key=_setting), key=_setting):
        more = list(members)
        added = estimated_s([*part, *more], grid)
        if part and added > largest:
            yield part, cost
            part, added = [], estimated_s(more, grid)
        part, cost = [*part, *more], added
    yield part, cost


def _merged(parts: Iterable[Part], smallest: float) -> Iterable[Part]:
    """Small parts joined until they are worth sending."""
    waiting: list[Keyed] = []
    cost = 0.0
    for part, part_cost in parts:
        waiting, cost = [*waiting, *part], cost + part_cost
        if cost >= smallest:
            yield waiting, cost
            waiting, cost = [], 0.0
    if waiting:
        yield waiting, cost


def _chunk(
    part: list[Keyed],
    cost: float,
    grid: Grid,
    digests: Mapping[tuple[str, int | None, int | None], str],
    values: Mapping[str, Workload],
) -> Chunk:
    models = {(point.model, point.batch, point.seq) for _, point in part}
    machines: dict[str, HardwareModel] = {
        name: dataclasses.replace(grid.machines[name], sources={}) for name in {p.hardware for _, p in part}
    }
    return Chunk(
        points=tuple(part),
        machines=machines,
        models={name: values[name] for name, _, _ in models if name in values},
        digests={model: digests[model] for model in models},
        cost_s=cost,
    )
