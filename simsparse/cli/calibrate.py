"""``simsparse calibrate``: measure this host once; ``--on host`` then simulates it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.output import print_json
from simsparse.cli.steps import steps

if TYPE_CHECKING:
    from simsparse.measure.calibrate import Calibration


def calibrate(
    *,
    output: Annotated[Path | None, Parameter(help="Where to write; by default what --on host reads.")] = None,
    budget: Annotated[float, Parameter(help="Seconds to measure for.")] = 55.0,
    json: o.Json = False,
) -> None:
    """Measure this host and write its machine file, used as --on host.

    The first time it also compiles the kernels, a minute more.
    """
    from simsparse.errors import UsageError
    from simsparse.load.catalog import host_file
    from simsparse.measure.calibrate import calibrate as measure
    from simsparse.measure.calibrate_file import write_machine

    if not 10 <= budget <= 3600:
        raise UsageError(f"budget: expected 10 to 3600 seconds, got {budget:g} (leave it out for 50)")
    path = output or host_file()
    with steps("calibrate") as tell:
        done = measure(budget_s=budget, progress=tell)
    write_machine(path, done.text)
    if json:
        print_json(_record(done, path))
    else:
        _show(done, path)


def _record(done: Calibration, path: Path) -> dict[str, object]:
    one, every = done.limits.one, done.limits.every
    return {
        "file": str(path),
        "cpu": done.cpu.model,
        "isa": done.cpu.isa,
        "threads": done.cpu.threads,
        "clock_hz": done.limits.clock_hz,
        "fp32_flops": one.fma_flops,
        "dram_bytes_per_s": one.dram_bytes_per_s,
        "dram_all_threads_bytes_per_s": every.dram_bytes_per_s,
        "timings": done.timings,
        "fit_median_error": done.median_error,
        "fit_p90_error": done.p90_error,
        "noise_median": _number(done.noise.median_spread),
        "noise_p90": _number(done.noise.p90_spread),
        "gate_s": done.gate_s,
        "warnings": list(done.warnings),
    }


def _number(value: float) -> float | None:
    """What was measured once has no spread."""
    return None if math.isnan(value) else value


def _show(done: Calibration, path: Path) -> None:
    from rich.text import Text

    from simsparse.cli.output import console
    from simsparse.units import si

    out = console()
    one, every, noise = done.limits.one, done.limits.every, done.noise
    lines = [
        f"{done.cpu.model}: {done.cpu.threads} threads, {done.cpu.isa}, {si(done.limits.clock_hz, 'Hz')}",
        f"one core: {si(one.fma_flops, 'FLOP/s')} fp32, {si(one.dram_bytes_per_s, 'B/s')} from DRAM"
        f" ({si(every.dram_bytes_per_s, 'B/s')} on all threads)",
        f"model against {done.timings} timings: median error {100 * done.median_error:.1f} %,"
        f" nine of ten within {100 * done.p90_error:.0f} %;"
        f" {_noise_text(noise.median_spread, noise.p90_spread)}",
        *(f"warning: {text}" for text in done.warnings),
        f"wrote {path}",
    ]
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def _noise_text(median: float, p90: float) -> str:
    if math.isnan(median):
        return "timed once, so the noise is not known"
    return f"the same product twice: {100 * median:.1f} and {100 * p90:.0f} %"
