"""Coverage-guided fuzzing of the loaders: ``python tests/fuzz/run_fuzz.py --seconds 60``.

Each target runs in a process of its own, since libFuzzer ends the process when it is done. A failing input is
kept in the folder ``--keep``, printed with its traceback, and makes the exit code 1. Needs the extra
``[fuzz]``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

_START_S = 3.0  # imports of a process, which libFuzzer's clock does not see
_LONGEST_INPUT_S = 10
_MEMORY_MB = 2048
_LARGEST_INPUT = 4096


def main() -> int:
    """Runs the targets one after the other; 0 if none failed."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of the loaders.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument(
        "--runs", type=int, default=0, help="inputs per target from a fixed seed, not seconds"
    )
    parser.add_argument("--targets", default="", help="names with commas; all by default")
    parser.add_argument("--keep", type=Path, default=None, help="folder of failing inputs, and of the corpus")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    options, for_fuzzer = parser.parse_known_args()
    if find_spec("atheris") is None:
        sys.stderr.write("fuzz: expected atheris, got none (pip install simsparse[fuzz])\n")
        return 2
    if options.one:
        return fuzz_one(options.one, for_fuzzer)
    names = [name for name in options.targets.split(",") if name] or target_names()
    with tempfile.TemporaryDirectory() as spare:
        keep = options.keep or Path(spare)
        each_s = max(1.0, options.seconds / len(names) - _START_S)
        limit = [f"-runs={options.runs}", "-seed=1"] if options.runs else [f"-max_total_time={round(each_s)}"]
        results = [run_apart(name, limit, keep) for name in names]
    return int(not all(results))


def target_names() -> list[str]:
    """The targets, in order."""
    from targets import TARGETS

    return list(TARGETS)


def run_apart(name: str, limit: list[str], keep: Path) -> bool:
    """Fuzz one target in a process of its own; whether it held."""
    corpus = keep / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--one", name, *limit]
    command += [f"-timeout={_LONGEST_INPUT_S}", f"-rss_limit_mb={_MEMORY_MB}", f"-max_len={_LARGEST_INPUT}"]
    command += [f"-artifact_prefix={keep}/{name}-", "-print_final_stats=1", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    told = f"{runs[1] if runs else '?'} inputs, {covered[-1] if covered else '?'} places covered"
    sys.stdout.write(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}, {told}\n")
    if done.returncode:
        sys.stdout.write(done.stdout[-4000:] + done.stderr[done.stderr.rfind("ERROR") :][:2000] + "\n")
    sys.stdout.flush()
    return done.returncode == 0


def fuzz_one(name: str, for_fuzzer: list[str]) -> int:
    """Hands this process to libFuzzer."""
    import atheris

    import simsparse.pruning.masks  # noqa: F401  (Numba cannot compile what atheris has instrumented)

    with atheris.instrument_imports(include=["simsparse.load", "simsparse.ir"]):
        from targets import TARGETS

        target = TARGETS[name]
        folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        target.prepare(folder)
        for seed in target.seeds:  # what is imported on first use is instrumented, too
            target.run(folder, seed)
    corpus = Path(for_fuzzer[-1])
    for index, seed in enumerate(target.seeds):
        (corpus / f"seed{index}").write_bytes(seed)

    def run(data: bytes) -> None:
        target.run(folder, data)

    atheris.Setup([__file__, *for_fuzzer], run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
