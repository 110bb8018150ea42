"""Lists become points: products, pairs, exclusions, and what is left out or refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.cli.sweep import _from_flags
from simsparse.errors import FileError, PatternError, UsageError
from simsparse.load.catalog import load_hardware
from simsparse.load.study_spec import StudySpec, mistakes, patterns
from simsparse.load.study_yaml import load_study
from simsparse.sweep.points import Point, expand


def names(points: tuple[Point, ...], *fields: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(point, field) for field in fields) for point in points]


@given(
    prune=st.lists(st.sampled_from(["2:4", "unstructured:0.5", "channel:0.5"]), min_size=1, unique=True),
    seed=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    batch=st.lists(st.integers(1, 4), max_size=3, unique=True),
)
def test_lists_multiply(prune: list[str], seed: list[int], batch: list[int]) -> None:
    spec = StudySpec(
        models=("conv:4,4,4,4,3,3",), on=("eie",), prune=tuple(prune), seed=tuple(seed), batch=tuple(batch)
    )
    expected = itertools.product(prune, batch or [None], seed)
    assert names(expand(spec).points, "pattern", "batch", "seed") == list(expected)


def test_zipped_lists_go_in_step() -> None:
    spec = StudySpec(
        models=("gemm:8,8,8",), on=("eie", "tpu-like"), prune=("2:4", "channel:0.5"), zip=(("on", "prune"),)
    )
    assert names(expand(spec).points, "hardware", "pattern") == [("eie", "2:4"), ("tpu-like", "channel:0.5")]


def test_excluded_points_are_gone() -> None:
    rule = {"on": ("eie",), "prune": ("2:4",)}
    spec = StudySpec(
        models=("gemm:8,8,8",), on=("eie", "tpu-like"), prune=("2:4", "channel:0.5"), exclude=(rule,)
    )
    found = names(expand(spec).points, "hardware", "pattern")
    assert ("eie", "2:4") not in found
    assert len(found) == 3


def test_excluding_one_format_of_all() -> None:
    spec = StudySpec(
        models=("gemm:8,8,8",), on=("tpu-like",), format=("all",), exclude=({"format": ("csr",)},)
    )
    formats = {point.format for point in expand(spec).points}
    assert formats == set(load_hardware("tpu-like").formats) - {"csr"}


def test_what_a_machine_cannot_read_is_left_out_and_counted() -> None:
    spec = StudySpec(models=("gemm:8,8,8",), on=("eie", "tpu-like"), format=("csr",), dtype=("int4", "int8"))
    grid = expand(spec)
    assert names(grid.points, "hardware", "format", "dtype") == [("tpu-like", "csr", "int8")]
    assert grid.left_out == {"eie does not read csr": 2, "tpu-like does not compute in int4": 1}


def test_fields_of_machines_are_swept() -> None:
    spec = StudySpec(models=("gemm:8,8,8",), on=("l4",), set={"units": (16, 64), "clock_hz": (1e9,)})
    grid = expand(spec)
    assert [point.hardware for point in grid.points] == [
        "l4[units=16,clock_hz=1e+09]",
        "l4[units=64,clock_hz=1e+09]",
    ]
    assert [machine.units for machine in grid.machines.values()] == [16, 64]


def test_an_empty_product_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one point, got none"):
        expand(StudySpec(models=("gemm:8,8,8",), on=("eie",), format=("csr",)))


def test_impossible_machines_and_missing_files_are_told_together(tmp_path: Path) -> None:
    spec = StudySpec(
        models=(f"{tmp_path}/no.onnx", "gemm:8,8,8"), on=("eie", "tpu-like"), set={"units": (0,)}
    )
    with pytest.raises(FileError) as caught:
        expand(spec)
    assert len(caught.value.mistakes) == 3
    assert "set units=0: " in caught.value.mistakes[0]


def test_ranges() -> None:
    assert patterns(["block:4x1:0.5:0.9:3"]) == ("block:4x1:0.5", "block:4x1:0.7", "block:4x1:0.9")
    assert len(patterns(["unstructured:0.5:0.98:7"])) == 7
    with pytest.raises(UsageError, match="2 to 1000 steps"):
        patterns(["unstructured:0.5:0.98:1"])
    with pytest.raises(PatternError, match="0 to 1"):
        patterns(["unstructured:0.5:1.5:3"])


def test_points_survive_their_plain_form() -> None:
    spec = StudySpec(models=("gemm:8,8,8",), on=("eie",), skip=("a*",), activation_density=(0.5,))
    for point in expand(spec).points:
        assert Point.from_dict(point.to_dict()) == point


STUDY = """\
models: [resnet50, bertbase]
on: [a100-80gb, eye]
prune: ["unstructured:0.5:0.98:7", 2:4, block:4x1:1.9]
format: al
formatt: x
batch: [1, 2]
seed: -1
zip: [[batch, seq], [nope]]
exclude: {on: eie, prun: 2:4}
"""


def test_a_study_file_tells_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    with pytest.raises(FileError) as caught:
        load_study(tmp_path / "s.yaml")
    places = [line.split("s.yaml:")[1].split(": ")[0] for line in caught.value.mistakes]
    assert places == ["1:20", "2:17", "3:41", "4:9", "5:1", "7:7", "8:7", "8:21", "9:10"]


def test_a_study_file_and_flags_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "models: gemm:8,8,8\non: [eie]\nprune: [2:4]\nset: {units: [16, 64]}\nbatch: 1\n"
    )
    lists = dict.fromkeys(
        ("format", "dtype", "seq", "activation_density", "criterion", "allocation", "seed"), ()
    )
    flags = _from_flags(
        ("gemm:8,8,8",), {**lists, "on": ("eie",), "prune": ("2:4",), "batch": ("1",)}, (), ("units=16,64",)
    )
    assert load_study(tmp_path / "s.yaml") == flags


def test_wrong_types_in_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("models: 3\non: [eie]\nbatch: two\n")
    with pytest.raises(FileError) as caught:
        load_study(tmp_path / "s.yaml")
    assert len(caught.value.mistakes) == 2
    (tmp_path / "s.yaml").write_text("- a\n")
    with pytest.raises(FileError, match="expected a mapping"):
        load_study(tmp_path / "s.yaml")


def test_empty_lists_are_mistakes() -> None:
    found = mistakes(StudySpec(set={"units": ()}))
    assert [place for place, _ in found] == [("models",), ("on",), ("set", "units")]
