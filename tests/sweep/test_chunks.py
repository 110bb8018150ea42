"""Chunks: every point once, results equal to single simulations, whatever shares a chunk with what."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.study_spec import StudySpec
from simsparse.pattern import parse_pattern
from simsparse.pruning.prune import prune
from simsparse.simulate import simulate
from simsparse.sweep import chunk as chunk_module
from simsparse.sweep.chunk import Keyed, RememberedMasks, run_chunk
from simsparse.sweep.chunking import chunks, estimated_s
from simsparse.sweep.figures import FAILED, OK, layer_columns, row_of
from simsparse.sweep.keys import Keys, model_digest
from simsparse.sweep.points import Grid, expand

SPEC = StudySpec(
    models=("gemm:64,64,32", "conv:8,16,6,6,3,3"),
    on=("eie", "tpu-like", "a100-80gb"),
    prune=("unstructured:0.8", "2:4", "channel:0.5"),
    format=("all", "auto"),
    activation_density=(1.0, 0.5),
    seed=(0, 3),
)


def keyed(grid: Grid) -> list[Keyed]:
    keys = Keys(grid)
    return [(keys.key(point), point) for point in grid.points]


def digests(grid: Grid) -> dict[Any, str]:
    return {name: model_digest(workload) for name, workload in grid.models.items()}


def test_every_point_equals_its_own_simulation() -> None:
    grid = expand(SPEC)
    points = keyed(grid)
    rows = {row.key: row for part in chunks(points, grid, digests(grid)) for row in run_chunk(part)}
    for key, point in points[::7]:
        run = simulate(
            point.model,
            on=grid.machines[point.hardware],
            prune=point.pattern,
            format=point.format,
            dtype=point.dtype,
            activation_density=point.activation_density,
            seed=point.seed,
        )
        assert rows[key] == row_of(key, run)


@given(data=st.data())
@settings(max_examples=4)
def test_chunks_hold_each_point_once_and_their_cut_does_not_matter(data: st.DataObject) -> None:
    grid = expand(dataclasses.replace(SPEC, models=SPEC.models[:1], seed=(0,)))
    points = keyed(grid)
    shuffled = data.draw(st.permutations(points))
    workers = data.draw(st.integers(1, 64))
    parts = chunks(shuffled, grid, digests(grid), workers=workers)
    assert sorted(key for part in parts for key, _ in part.points) == sorted(key for key, _ in points)
    single = [dataclasses.replace(parts[0], points=(one,)) for one in parts[0].points[:6]]
    assert [row for one in single for row in run_chunk(one)] == run_chunk(parts[0])[:6]


def test_a_chunk_travels_without_weights() -> None:
    grid = expand(StudySpec(models=("resnet18",), on=("eie",), prune=("2:4",)))
    (part,) = chunks(keyed(grid), grid, digests(grid))
    sent = pickle.dumps(part)
    assert len(sent) < 20_000
    assert pickle.loads(sent).points == part.points


def test_keys_know_what_matters_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**changes: Any) -> str:
        spec = StudySpec(**{"models": ("gemm:64,64,32",), "on": ("eie",), "prune": ("2:4",), **changes})
        grid = expand(spec, machines=changes.pop("machines", None))
        return Keys(grid).key(grid.points[0])

    first = key()
    assert key() == first
    assert key(dtype=("int4",)) == first, "the machine's own dtype"
    others = [
        key(models=("gemm:64,64,33",)),
        key(on=("tpu-like",)),
        key(prune=("4:8",)),
        key(seed=(1,)),
        key(format=("csc",)),
        key(set={"clock_hz": (1e9,)}),
        key(skip=("x",)),
        key(activation_density=(0.5,)),
    ]
    assert len({first, *others}) == len(others) + 1
    monkeypatch.setattr(sys.modules[Keys.__module__], "MODEL_VERSION", 99)
    assert key() != first


def test_weights_are_part_of_the_key() -> None:
    workload = load_model("gemm:4,4,4")
    name = workload.layers[0].name
    ones = dataclasses.replace(workload, weights={name: np.ones((4, 4), np.float32)})
    twos = dataclasses.replace(workload, weights={name: np.full((4, 4), 2, np.float32)})
    assert len({model_digest(workload), model_digest(ones), model_digest(twos)}) == 3


def test_comments_and_titles_do_not_change_a_machine() -> None:
    from simsparse.sweep.keys import machine_digest

    machine = load_hardware("eie")
    retold = dataclasses.replace(machine, title="other", description="", sources={}, name="mine")
    assert machine_digest(retold) == machine_digest(machine)
    assert machine_digest(dataclasses.replace(machine, units=3)) != machine_digest(machine)


def test_a_file_that_changed_since_is_not_computed() -> None:
    grid = expand(StudySpec(models=("gemm:64,64,40",), on=("eie",), prune=("2:4",)))
    (part,) = chunks(keyed(grid), grid, dict.fromkeys(grid.models, "0" * 32))
    (row,) = run_chunk(part)
    assert row.status == FAILED
    assert "the file that the study began with" in row.error


def test_a_point_that_raises_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = expand(StudySpec(models=("gemm:64,64,32",), on=("eie", "tpu-like"), prune=("2:4",)))
    (part,) = chunks(keyed(grid), grid, digests(grid))
    real = chunk_module.run_together

    def sabotaged(runs: Any) -> Any:
        if any(run.hardware.name == "eie" for run in runs):
            raise ZeroDivisionError("a bug\nin a machine")
        return real(runs)

    monkeypatch.setattr(chunk_module, "run_together", sabotaged)
    rows = run_chunk(part)
    assert [row.status for row in rows] == [FAILED, OK]
    assert rows[0].error == "ZeroDivisionError: a bug in a machine"


def test_remembered_masks_are_the_masks() -> None:
    pruned = prune(load_model("resnet18"), parse_pattern("unstructured:0.7"))
    layers = [
        layer
        for layer in pruned.workload.layers
        if layer.name in ("conv1", "fc") or not layer.kind.has_weights
    ]
    taken = {item.name: getattr(pruned, item.name) for item in dataclasses.fields(pruned) if item.init}
    remembered = RememberedMasks(**taken)
    for layer in layers[:3] + layers[-3:]:
        first, again, true = remembered.mask(layer), remembered.mask(layer), pruned.mask(layer)
        assert (first is None) == (again is None) == (true is None)
        if true is not None:
            assert np.array_equal(first, true)
            assert np.array_equal(again, true)
    assert 0 < remembered.nbytes < 200_000


def test_rows_hold_totals_and_layers() -> None:
    run = simulate("resnet18", on="a100-80gb", prune="2:4")
    row = row_of("k", run)
    figures, layers = json.loads(row.figures), layer_columns(row)
    assert figures["time_s"] == run.totals.time_s
    total = sum(time * count for time, count in zip(layers["time_s"], layers["count"], strict=True))
    assert total == pytest.approx(run.totals.time_s, rel=1e-12)
    assert 0 < figures["format_share"] <= 1


def test_estimates_grow_with_points() -> None:
    grid = expand(SPEC)
    points = keyed(grid)
    assert 0 < estimated_s(points[:20], grid) < estimated_s(points, grid)
