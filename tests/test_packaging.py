"""The wheel holds one top-level package with every data file of the checkout inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("simsparse", "hwmodels", "workloads"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_only_top_level_name_is_simsparse(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"simsparse"}


def test_every_module_and_data_file_of_the_checkout_is_inside(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    data = [path for folder in ("hwmodels", "workloads") for path in (ROOT / folder).rglob("*.yaml")]
    package = [
        path
        for ending in ("py", "csv", "json", "typed", "html", "css", "js")
        for path in (ROOT / "simsparse").rglob(f"*.{ending}")
    ]
    assert len(data) > 15
    missing = [f"simsparse/{path.relative_to(ROOT)}" for path in data]
    missing += [str(path.relative_to(ROOT)) for path in package]
    assert sorted(name for name in missing if name not in inside) == []


def test_an_unpacked_wheel_finds_its_machines_and_workloads(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    program = (
        "from simsparse import load_hardware, load_model;"
        "print(load_hardware('eie').name, load_model('alexnet').name)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {program}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["eie", "alexnet"], done.stderr
