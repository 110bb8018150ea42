"""Everything the README shows is run, and shows what the program prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simsparse.formats import format_names
from simsparse.load.catalog import names
from simsparse.pattern import FORMS, parse_pattern

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEFT_OUT = "…"


def _console() -> Iterator[tuple[str, list[str]]]:
    """(command, lines shown below it) of every console block."""
    for block in re.findall(r"^```console\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield command, shown


def _run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "simsparse"
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "simsparse", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


@pytest.mark.slow
def test_every_command_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    commands = list(_console())
    assert len(commands) >= 4
    for command, shown in commands:
        done = _run(command, tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        at = 0
        for line in shown:
            if line.strip() == LEFT_OUT:
                continue
            assert line.rstrip() in printed[at:], f"{command} does not print, from line {at}: {line}"
            at = printed.index(line.rstrip(), at) + 1


@pytest.mark.slow
def test_every_python_example_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_two_commands_are_what_ci_runs() -> None:
    commands = README.split("<!-- commands -->")[1].split("<!-- end commands -->")[0]
    lines = [line for line in commands.splitlines() if line.startswith(("python3", ".venv"))]
    assert len(lines) == 2
    assert "simsparse simulate resnet50 --on a100-80gb --prune 2:4" in lines[0]
    assert ".[test]" in lines[1]
    assert lines[1].endswith("-m pytest")


def test_the_table_of_what_is_supported_is_complete() -> None:
    table = README.split("## What is supported")[1].split("\n## ")[0]
    words = set(re.findall(r"`([^`]+)`", table))
    assert {*names("hardware"), *names("workload"), *format_names()} <= words
    assert {str(parse_pattern(form)) for form in FORMS} <= words


def test_links_lead_to_files_of_the_project() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
