"""The two halves of ``simsparse calibrate`` apart: measure once, fit as often as the model changes.

    python benchmarks/calibration.py collect TIMINGS.json [--budget 45]
    python benchmarks/calibration.py fit TIMINGS.json [MORE.json …] [--output host.yaml] [--verbose]

``fit`` prints the error of gated timings by kernel, warm and cold, and the noise; with ``--verbose`` every
constant beside its expected value and the largest errors. Timings of several collections are taken as further
passes of one; the limits are the best of all. Try the file with ``benchmarks/predict.py --on``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from pydantic import TypeAdapter

from simsparse.measure.calibrate import Calibration, fitted, model_before, operands
from simsparse.measure.calibrate_cases import designed_cases
from simsparse.measure.calibrate_collect import Collected, collect, combined
from simsparse.measure.calibrate_file import write_machine
from simsparse.measure.calibrate_fit import by_kernel
from simsparse.measure.calibrate_limits import better_host
from simsparse.measure.calibrate_timing import Sample
from simsparse.measure.fit import get
from simsparse.measure.fit_priors import BY_KERNEL, MEMORY

_COLLECTED = TypeAdapter(Collected)
_LISTS = ("samples", "together", "evicted", "convs", "narrow")


def write(path: Path, collected: Collected) -> None:
    """Everything that was measured, as JSON."""
    path.write_bytes(_COLLECTED.dump_json(collected))


def read(path: Path) -> Collected:
    """What ``write`` wrote; products that are designed no more are left out."""
    found, known = _COLLECTED.validate_json(path.read_bytes()), set(designed_cases())
    kept = {name: [one for one in getattr(found, name) if one.case in known] for name in _LISTS[:3]}
    return replace(found, **kept)


def fit(paths: Sequence[Path], output: Path | None, *, verbose: bool) -> None:
    """Fit, print, write."""
    first, *others = map(read, paths)
    every = replace(
        first,
        limits=reduce(better_host, (one.limits for one in (first, *others))),
        **{name: [sample for one in (first, *others) for sample in getattr(one, name)] for name in _LISTS},
    )
    start = time.perf_counter()
    done = fitted(every)
    print(f"{len(every.samples)} timings, {done.timings} used, fit {time.perf_counter() - start:.1f} s")
    noise = done.noise
    print(
        f"model: {100 * done.median_error:.1f} / {100 * done.p90_error:.1f} %; noise:"
        f" {100 * noise.median_spread:.1f} / {100 * noise.p90_spread:.1f} %, {noise.not_gated} not gated"
    )
    show(done, every, verbose=verbose)
    if output:
        write_machine(output, done.text)


def show(done: Calibration, collected: Collected, *, verbose: bool) -> None:
    """Errors by kernel and state of the caches, then constants and the worst timings."""
    start, scale = model_before(collected.cpu, collected.limits)
    worst: list[tuple[float, Sample]] = []
    for kernel, one in by_kernel(done.parameters, combined(collected.samples), operands()).items():
        errors = np.log(one.predicted_s(done.parameters, scale) / one.time_s)
        worst += [pair for pair in zip(errors.tolist(), one.samples, strict=True) if pair[1].timing.gated]
        for cold in (False, True):
            those = np.abs(errors[[s.cold == cold and s.timing.gated for s in one.samples]])
            if those.size:
                print(
                    f"{kernel:14}{'cold' if cold else 'warm':6}{those.size:5}"
                    + "".join(f"{100 * np.quantile(those, share):8.1f}" for share in (0.5, 0.9, 1))
                )
    if not verbose:
        return
    paths = dict.fromkeys(c.path for c in (*MEMORY, *(c for found in BY_KERNEL.values() for c in found)))
    print("; ".join(f"{path} {get(start, path):.3g} > {get(done.parameters, path):.3g}" for path in paths))
    for error, sample in sorted(worst, key=lambda pair: -abs(pair[0]))[:40]:
        spread = sample.timing.spread or 0.0
        print(
            f"{sample.kernel:14}{sample.case.label:32}{'cold' if sample.cold else 'warm':6}"
            f"{1e6 * sample.timing.time_s:9.0f} us {100 * error:+6.0f} %  spread {100 * spread:.0f} %"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect or fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("collect", "fit"))
    parser.add_argument("timings", type=Path, nargs="+")
    parser.add_argument("--budget", type=float, default=45.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--verbose", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.what == "fit":
        fit(asked.timings, asked.output, verbose=asked.verbose)
        return
    start = time.perf_counter()
    collected = collect(budget_s=asked.budget)
    write(asked.timings[0], collected)
    print(f"{len(collected.samples)} timings in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
