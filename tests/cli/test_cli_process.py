"""The process itself: exit codes, quiet pipes, tracebacks for bugs only, and what is imported when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = "numpy numba llvmlite pandas onnx simpy pydantic ruamel scipy docutils"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120, check=False
    )


def simsparse(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "simsparse", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def loaded(code: str, packages: str = HEAVY) -> list[str]:
    done = python(f"import sys\n{code}\nprint(*[name for name in {packages.split()} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_importing_is_light() -> None:
    assert loaded("import simsparse", f"{HEAVY} rich cyclopts") == []


@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--help"], ["--version"], ["nonsense"]])
def test_help_and_wrong_usage_are_light(arguments: list[str]) -> None:
    assert loaded(f"from simsparse.cli import run\nrun({arguments})") == []


def test_listing_patterns_needs_nothing_heavy() -> None:
    assert loaded("from simsparse.cli import run\nrun(['list', 'patterns'])") == []


def test_checking_a_machine_needs_no_kernels() -> None:
    path = ROOT / "hwmodels" / "tpu-like.yaml"  # formats with parameters are judged by the formats themselves
    found = loaded(f"from simsparse.cli import run\nassert run(['check', {str(path)!r}]) == 0")
    assert set(found) <= {"numpy", "pydantic", "ruamel"}


def test_the_public_face_is_lazy_and_complete() -> None:
    done = python(
        "import simsparse\nfor name in simsparse.__all__: assert getattr(simsparse, name), name\nprint('ok')"
    )
    assert done.stdout == "ok\n", done.stderr
    done = python("import simsparse\nsimsparse.nothing")
    assert "module 'simsparse' has no attribute 'nothing'" in done.stderr


def test_exit_codes_of_the_process() -> None:
    assert simsparse("list", "dtypes").returncode == 0
    assert simsparse("list", "nonsense").returncode == 2
    missed = simsparse("simulate", "gemm:8,8,8", "--on", "stc", "--require", "speedup>=99")
    assert missed.returncode == 4
    assert missed.stderr.startswith("error: --require")


def test_a_bug_is_a_traceback_and_exit_code_1() -> None:
    done = python(
        "import simsparse.cli.listing as listing, simsparse.cli as cli\n"
        "listing._LISTS['dtypes'] = lambda: 1 / 0\n"
        "cli.main(['list', 'dtypes'])"
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("arguments", ["list formats", "list formats --json", "show stc"])
def test_a_reader_that_leaves_is_no_error(arguments: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "simsparse", *arguments.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


def test_ctrl_c_is_130_and_one_line() -> None:
    done = python(
        "import os, signal, simsparse.cli.listing as listing, simsparse.cli as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        f"listing._LISTS['dtypes'] = lambda: os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "cli.main(['list', 'dtypes'])"
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"


def test_an_ascii_terminal_gets_question_marks() -> None:
    done = simsparse("show", "gemm:8,8,8", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "8?8?8" in done.stdout


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), ("", True)])
def test_no_color_is_honoured(no_color: str, coloured: bool) -> None:
    done = simsparse("show", "stc", NO_COLOR=no_color, FORCE_COLOR="1", TERM="xterm-256color")
    assert ("\x1b[33m" in done.stdout or "\x1b[1;33m" in done.stdout) == coloured


def test_the_module_and_the_console_script_are_the_same() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'simsparse = "simsparse.cli:main"' in text
