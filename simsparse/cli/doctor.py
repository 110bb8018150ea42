"""``simsparse doctor``: is this installation whole, and what does it run on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.text import Text

from simsparse import __version__
from simsparse.cli.output import console
from simsparse.errors import UsageError

_PACKAGES = (
    "numpy",
    "numba",
    "simpy",
    "pandas",
    "pydantic",
    "ruamel.yaml",
    "cyclopts",
    "rich",
    "onnx",
    "ml_dtypes",
)
_VECTOR = ("avx2", "fma", "avx512f", "avx512vnni", "amx-int8", "neon", "sve")
Finding = tuple[str, bool, str]


def doctor() -> None:
    """Check this installation: versions, processor, kernel cache, bundled files, a tiny simulation."""
    out = console()
    failed = []
    for name, ok, text in _findings():
        out.print(Text("ok  " if ok else "FAIL", style="" if ok else "bold red"), Text(f"{name}: {text}"))
        if not ok:
            failed.append(name)
    if failed:
        raise UsageError(f"doctor: expected a whole installation, got {', '.join(failed)} (see above)")


def _findings() -> Iterator[Finding]:
    yield (
        "simsparse",
        True,
        f"{__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    yield "packages", *_attempt(_versions)
    yield "processor", *_attempt(_processor)
    yield "kernel cache", *_attempt(_kernel_cache)
    yield "threads", *_attempt(_threads)
    yield "YAML", *_attempt(_yaml_scanner)
    yield "bundled files", *_attempt(_bundled)
    yield "simulation", *_attempt(_simulation)


def _attempt(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except Exception as error:  # whatever is broken here is the finding
        return False, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _versions() -> str:
    found, missing = [], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        raise UsageError(f"expected {', '.join(missing)}, got nothing (install simsparse again)")
    return ", ".join(found)


def _processor() -> str:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    vector = " ".join(name for name in _VECTOR if features.get(name)) or "no vector extensions known here"
    return f"{binding.get_host_cpu_name()}, {os.cpu_count()} threads, {vector}"


def _kernel_cache() -> str:
    import simsparse.kernels

    folder = Path(
        os.environ.get("NUMBA_CACHE_DIR") or Path(str(simsparse.kernels.__file__)).parent / "__pycache__"
    )
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(parent, os.W_OK):
        raise UsageError(
            f"expected a writable folder, got {folder} (set NUMBA_CACHE_DIR; kernels compile in each run)"
        )
    return f"{folder} is writable"


def _threads() -> str:
    import numba

    config: Any = numba.config
    return f"{config.NUMBA_NUM_THREADS} of numba, threading layer {config.THREADING_LAYER}"


def _yaml_scanner() -> str:
    try:
        import _ruamel_yaml  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        return "ruamel.yaml without its C scanner (files load ten times slower; install ruamel.yaml.clib)"
    return "ruamel.yaml with its C scanner"


def _bundled() -> str:
    from simsparse.load.catalog import data_folder, names
    from simsparse.load.energy_tables import table_names

    machines, models, tables = len(names("hardware")), len(names("workload")), len(table_names())
    return f"{machines} machines, {models} models, {tables} energy tables in {data_folder('hwmodels')}"


def _simulation() -> str:
    from simsparse.simulate import simulate
    from simsparse.units import si

    runs = [
        simulate("gemm:64,64,64", on="tpu-like", prune="2:4", engine=engine)
        for engine in ("compiled", "simpy")
    ]
    if runs[0].totals.cycles != runs[1].totals.cycles:
        raise UsageError(
            f"expected equal engines, got {runs[0].totals.cycles} and {runs[1].totals.cycles} cycles"
        )
    return f"gemm:64,64,64 at 2:4 on tpu-like takes {si(runs[0].totals.time_s, 's')} in both engines"
