"""Kept timings: what is written is read again, and the fit of it is that of the timings in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.calibration import main, read, write
from simsparse.measure.calibrate_cases import ProductCase, designed_cases
from simsparse.measure.calibrate_collect import Collected
from simsparse.measure.calibrate_convs import ConvSample, conv_cases
from simsparse.measure.calibrate_limits import HostCpu, HostLimits
from simsparse.measure.calibrate_narrow import NarrowSample, narrow_cases
from simsparse.measure.calibrate_timing import Sample, kernels_for
from simsparse.measure.host_limits import Limits
from simsparse.measure.timing import Timing


def timing(seconds: float) -> Timing:
    return Timing(time_s=seconds, least_s=seconds, windows=5, kept=5, gated=True)


def sample(case: ProductCase, kernel: str, seconds: float) -> Sample:
    return Sample(case=case, kernel=kernel, threads=1, cold=False, timing=timing(seconds))


def collected() -> Collected:
    rates = tuple(float(rate) * 1e9 for rate in range(90, 30, -10))
    sizes = tuple(2**power for power in (15, 17, 19, 21, 23, 25))
    launch = ("csr", "pairs", "grouped", "dense", "gemv-csr", "gemv-bitmask", "gemv-nm", "gemv-bsr")
    cases = designed_cases()
    return Collected(
        cpu=HostCpu(
            model="A CPU", isa="avx512", threads=2, memory_bytes=2**33,
            cache_bytes={1: 2**15, 2: 2**20, 3: 2**25}, l3_sharers=2,
        ),
        limits=HostLimits(
            clock_hz=3e9,
            macs_per_cycle=16,
            one=Limits(threads=1, fma_flops=96e9, footprint_bytes=sizes, read_bytes_per_s=rates),
            every=Limits(threads=2, fma_flops=192e9, footprint_bytes=sizes[-1:], read_bytes_per_s=(30e9,)),
            launch_s=dict.fromkeys((*launch, "gemv-dense"), 1e-6),
        ),
        gate_s=5e-6,
        samples=[
            sample(case, kernel, 1e-6 + case.m * case.k * case.n / 30e9)
            for case in cases
            for kernel in kernels_for(case)
        ],
        together=[],
        evicted=[],
        convs=[ConvSample(case=case, timing=timing(1e-4)) for case in conv_cases()[:2]],
        narrow=[NarrowSample(case=narrow_cases()[0], dtype="bf16", timing=timing(1e-5))],
    )  # fmt: skip


def test_what_was_measured_is_read_as_it_was_written(tmp_path: Path) -> None:
    path, kept = tmp_path / "kept.json", collected()
    write(path, kept)
    assert dataclasses.asdict(read(path)) == dataclasses.asdict(kept)


def test_products_that_are_designed_no_more_are_left_out(tmp_path: Path) -> None:
    path, kept = tmp_path / "kept.json", collected()
    gone = sample(ProductCase(m=3, k=5, n=7, pattern="unstructured", density=0.5), "csr", 1e-6)
    write(path, dataclasses.replace(kept, samples=[*kept.samples, gone]))
    assert dataclasses.asdict(read(path)) == dataclasses.asdict(kept)


def test_kept_timings_become_a_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, machine = tmp_path / "kept.json", tmp_path / "host.yaml"
    write(path, collected())
    main(["fit", str(path), str(path), "--output", str(machine)])
    assert f"{2 * len(collected().samples)} timings" in capsys.readouterr().out
    assert machine.read_text().startswith("name:")
