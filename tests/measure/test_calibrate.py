"""Calibration on made-up timings: the file it writes, what it leaves out, and whether it finds the model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from simsparse.cli import run
from simsparse.cli.steps import lines
from simsparse.dataflows.cpu_memory import cpu_of
from simsparse.dataflows.cpu_work import layer_cycles
from simsparse.dataflows.task import WeightOperand
from simsparse.errors import FileError
from simsparse.formats import encode, make_format
from simsparse.load import catalog
from simsparse.load.catalog import load_hardware
from simsparse.measure import calibrate as calibration
from simsparse.measure.calibrate import operands
from simsparse.measure.calibrate_cases import COLD_FROM_BYTES, ProductCase, designed_cases, make_mask
from simsparse.measure.calibrate_collect import Collected, combined
from simsparse.measure.calibrate_convs import ConvCase, ConvSample, conv_call, conv_cases, conv_work
from simsparse.measure.calibrate_file import host_memory, machine_text, write_machine
from simsparse.measure.calibrate_fit import Measured, Scale, by_kernel, case_work, fit_machine, scatter
from simsparse.measure.calibrate_limits import HostCpu, HostLimits, better_host, host_cpu, read_curve
from simsparse.measure.calibrate_narrow import (
    NarrowCase,
    NarrowSample,
    narrow_calls,
    narrow_cases,
    narrow_work,
)
from simsparse.measure.calibrate_timing import Sample, kernels_for, make_ready
from simsparse.measure.fit import SCATTER
from simsparse.measure.fit_priors import prior_parameters
from simsparse.measure.host_limits import Limits
from simsparse.measure.timing import Timing
from simsparse.packed.dense import ONE_THREAD_MACS, ONE_THREAD_VECTOR_MACS
from simsparse.packed.gemv import pack_gemv
from simsparse.simulate import simulate_layer

CPU = HostCpu(
    model="A CPU", isa="avx2", threads=2, memory_bytes=2**33,
    cache_bytes={1: 2**15, 2: 2**19, 3: 2**25}, l3_sharers=2,
)  # fmt: skip
_SIZES = tuple(2**power for power in range(14, 27))
LIMITS = HostLimits(
    clock_hz=3e9,
    macs_per_cycle=16,
    one=Limits(
        threads=1, fma_flops=96e9, footprint_bytes=_SIZES,
        read_bytes_per_s=tuple(float(rate) for rate in np.geomspace(120e9, 20e9, len(_SIZES))),
    ),
    every=Limits(threads=2, fma_flops=192e9, footprint_bytes=_SIZES[-1:], read_bytes_per_s=(30e9,)),
    launch_s=dict.fromkeys(
        (
            *("csr", "pairs", "grouped", "dense"),
            *("gemv-csr", "gemv-bitmask", "gemv-nm", "gemv-bsr", "gemv-dense"),
        ),
        8e-6,
    ),
)  # fmt: skip
SOURCES = {"calibrate": "a test", "calibrate-fit": "a test", "operating-system": "a test"}


def parameters() -> object:
    launch = {kernel: seconds * LIMITS.clock_hz for kernel, seconds in LIMITS.launch_s.items()}
    return prior_parameters("avx2", host_memory(CPU, LIMITS), launch)


def timing(seconds: float, *, gated: bool = True) -> Timing:
    return Timing(time_s=seconds, least_s=seconds, windows=5, kept=5 if gated else 0, gated=gated)


def test_the_file_is_a_machine_that_simulates(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "host.yaml"
    machine = parameters()
    write_machine(path, machine_text(CPU, LIMITS, machine, SOURCES))  # type: ignore[arg-type]
    loaded = load_hardware(path)
    assert (loaded.name, loaded.units, loaded.clock_hz) == ("host", 2, 3e9)
    assert cpu_of(loaded).panel.isa == "avx2"
    assert cpu_of(loaded).csr.per_weight == pytest.approx(machine.csr.per_weight, rel=1e-3)  # type: ignore[attr-defined]
    assert all(source.text for source in loaded.sources.values())
    assert [*tmp_path.glob("deep/*")] == [path]
    assert simulate_layer("gemm:64,64,64", loaded, np.eye(64, dtype=bool)).time_s > 8e-6


def test_host_is_the_calibrated_file_or_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "host_file", lambda: tmp_path / "host.yaml")
    with pytest.raises(FileError, match=r"run simsparse calibrate"):
        load_hardware("host")
    write_machine(tmp_path / "host.yaml", machine_text(CPU, LIMITS, parameters(), SOURCES))  # type: ignore[arg-type]
    assert load_hardware("host").title == "A CPU, as calibrated"


def test_designed_cases_reach_every_kernel_and_every_level() -> None:
    cases = list(designed_cases())
    assert len(cases) == len(set(cases))
    kernels = {kernel for case in cases for kernel in kernels_for(case)}
    assert kernels | {"gemv-dense"} == set(LIMITS.launch_s)
    sizes = [case.dense_bytes for case in cases]
    assert min(sizes) < 1e5 < COLD_FROM_BYTES < 3e7 < max(sizes)
    assert max(case.m * case.k * case.n for case in cases) < 1e9
    vectors = {-(-case.n // 8) for case in cases}
    assert vectors >= set(range(1, 9))


@pytest.mark.parametrize("case", list(designed_cases())[::23], ids=lambda case: case.label)
def test_every_call_of_a_case_gives_the_product(case: object) -> None:
    ready = make_ready(case, 3)  # type: ignore[arg-type]
    results = []
    for call in ready.calls.values():
        ready.out.fill(np.nan)
        call()
        results.append(ready.out.copy())
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-4, atol=1e-3)
    assert np.isfinite(results[0]).all()


def test_the_constants_behind_made_up_times_are_found() -> None:
    start = parameters()
    truth = dataclasses.replace(
        start,  # type: ignore[type-var]
        csr=dataclasses.replace(start.csr, row=14.0, l2_vector=0.9),  # type: ignore[attr-defined]
        dense=dataclasses.replace(start.dense, pack_weights=0.9),  # type: ignore[attr-defined]
    )
    scale = Scale(clock_hz=3e9, dram_bytes_per_s=30e9)
    cases = list(designed_cases())[:32]
    blank = [
        Sample(case=case, kernel=kernel, threads=1, cold=cold, timing=timing(1.0))
        for case in cases
        for kernel in kernels_for(case)
        for cold in (False, True)
    ]
    measured = by_kernel(start, blank, lambda case: WeightOperand(case.m, case.k, make_mask(case, 1)))  # type: ignore[arg-type]
    made = {
        kernel: dataclasses.replace(one, time_s=one.predicted_s(truth, scale))  # type: ignore[arg-type]
        for kernel, one in measured.items()
    }
    fitted = fit_machine(start, scale, made)  # type: ignore[arg-type]
    assert _worst(made, start, scale) > 0.15
    assert _worst(made, fitted, scale) < 0.05


def test_threads_eviction_and_convolutions_are_found_beside_the_kernels() -> None:
    truth = parameters()
    truth = dataclasses.replace(
        truth,  # type: ignore[type-var]
        thread_launch_cycles=40e3,
        vector_thread_launch_cycles=25e3,
        dense=dataclasses.replace(
            truth.dense,  # type: ignore[attr-defined]
            thread_launch_cycles=9e3,
            direct_few=1.4,
            direct_vector=1.6,
            direct_strided=2.6,
            direct_plane=100.0,
        ),
        gather=dataclasses.replace(truth.gather, narrow=0.4),  # type: ignore[attr-defined]
        bitmask=dataclasses.replace(truth.bitmask, narrow=2.0),  # type: ignore[attr-defined]
        nm=dataclasses.replace(truth.nm, narrow=6.0),  # type: ignore[attr-defined]
        block_vector=dataclasses.replace(truth.block_vector, narrow=0.3),  # type: ignore[attr-defined]
        panel=dataclasses.replace(
            truth.panel,  # type: ignore[attr-defined]
            gather_row=9.0,
            gather_piece=5.0,
            gather=7.0,
            split=3.5,
        ),
        memory=dataclasses.replace(truth.memory, refill_cycles_per_byte=0.2),  # type: ignore[attr-defined]
    )
    scale = Scale(clock_hz=3e9, dram_bytes_per_s=30e9)
    cases = [case for case in designed_cases() if case.n > 8][:10]
    operand = operands()

    def timed(case: ProductCase, kernel: str, *, threads: int = 1, evicted: bool = False) -> Sample:
        work = case_work(truth, case, operand(case), kernel, threads=threads, evicted=evicted)  # type: ignore[arg-type]
        cycles = layer_cycles(work, truth, scale.memory(truth, threads))  # type: ignore[arg-type]
        return Sample(
            case=case, kernel=kernel, threads=threads, cold=False, timing=timing(float(cycles[0]) / 3e9)
        )

    def timed_conv(case: ConvCase) -> ConvSample:
        work = conv_work(truth, case)  # type: ignore[arg-type]
        cycles = layer_cycles(work, truth, scale.memory(truth, 1))  # type: ignore[arg-type]
        return ConvSample(case=case, timing=timing(float(cycles[0]) / 3e9))

    def timed_narrow(case: NarrowCase, dtype: str) -> NarrowSample:
        work = narrow_work(truth, case, dtype)  # type: ignore[arg-type]
        cycles = layer_cycles(work, truth, scale.memory(truth, 1))  # type: ignore[arg-type]
        return NarrowSample(case=case, dtype=dtype, timing=timing(float(cycles[0]) / 3e9))

    def disturbed(sample: Sample) -> Sample:
        return dataclasses.replace(sample, timing=timing(3 * sample.timing.time_s, gated=False))

    apart = [timed(case, "csr", evicted=gone) for case in cases for gone in (False, True)]
    vectors = [case for case in designed_cases() if case.n == 1][:4]
    shared = [case for case in cases if case.m * case.k * case.n > ONE_THREAD_MACS]
    long = [case for case in designed_cases() if case.n == 1 and case.m * case.k > ONE_THREAD_VECTOR_MACS][:4]
    together = [timed(case, kernel, threads=2) for case in shared for kernel in ("csr", "dense")]
    together += [timed(case, "gemv-csr", threads=2) for case in vectors]
    together += [timed(case, "dense", threads=2) for case in long]
    collected = Collected(
        cpu=CPU,
        limits=LIMITS,
        gate_s=5e-6,
        samples=[
            *(timed(case, kernel) for case in cases for kernel in ("csr", "dense")),
            *(timed(case, "gemv-csr") for case in vectors),
        ],
        together=[*together, *map(disturbed, together[:4])],
        evicted=[*apart, apart[0], disturbed(apart[1])],
        convs=[timed_conv(case) for case in conv_cases()],
        narrow=[timed_narrow(case, dtype) for case in narrow_cases() for dtype in narrow_calls(case)],
    )
    found = calibration.fitted(collected).parameters
    assert found.thread_launch_cycles == pytest.approx(40e3, rel=0.05)
    assert found.vector_thread_launch_cycles == pytest.approx(25e3, rel=0.1)
    assert found.dense.thread_launch_cycles == pytest.approx(9e3, rel=0.1)
    assert found.memory.refill_cycles_per_byte == pytest.approx(0.2, rel=0.05)
    assert found.dense.direct_few == pytest.approx(1.4, rel=0.05)
    assert found.dense.direct_vector == pytest.approx(1.6, rel=0.05)
    assert found.dense.direct_strided == pytest.approx(2.6, rel=0.05)
    assert found.dense.direct_plane == pytest.approx(100, rel=0.1)
    assert found.panel.gather_row == pytest.approx(9, rel=0.3)
    assert found.panel.gather_piece == pytest.approx(5, rel=0.3)
    assert found.panel.gather == pytest.approx(7, rel=0.1)
    assert found.gather.narrow == pytest.approx(0.4, rel=0.2)
    assert found.bitmask.narrow == pytest.approx(2, rel=0.2)
    assert found.nm.narrow == pytest.approx(6, rel=0.2)
    assert found.block_vector.narrow == pytest.approx(0.3, rel=0.3)
    assert found.panel.split == pytest.approx(3.5, rel=0.1)


@pytest.mark.parametrize("case", narrow_cases())
def test_narrow_weights_run_as_they_are_predicted(case: NarrowCase) -> None:
    """What is timed are the bytes that the model is told of, and the kernel that is named."""
    for dtype, call in narrow_calls(case).items():
        call()
        product, mask = case.product, case.operand().dense_mask
        layout = make_format("bsr:4x1") if case.kernel == "bsr" else "csr"
        packed = pack_gemv(encode(mask * np.float32(0.5), layout, mask), kernel=case.kernel, dtype=dtype)  # type: ignore[arg-type]
        assert packed.kernel == case.kernel
        streamed = narrow_work(parameters(), case, dtype).stream_bytes.sum()  # type: ignore[arg-type, attr-defined]
        assert streamed == pytest.approx(packed.stored_bytes, rel=0.1)
        assert product.n == 1


@pytest.mark.parametrize("case", conv_cases())
def test_convolutions_run_as_layers_are_predicted(case: ConvCase) -> None:
    """What is timed is the convolution that the model is told of."""
    conv_call(case)()
    machine = dataclasses.replace(load_hardware("core-i9-7980xe"), units=1)
    cpu = cpu_of(machine)
    if case.kernel == "direct":
        cpu = dataclasses.replace(cpu, dense=dataclasses.replace(cpu.dense, library="packed"))
        machine = dataclasses.replace(machine, dataflow=cpu)
    scale = Scale(clock_hz=machine.clock_hz, dram_bytes_per_s=machine.memory[0].bandwidth_bytes_per_s or 0)
    cycles = layer_cycles(conv_work(cpu, case), cpu, scale.memory(cpu, 1))
    alone_s = float(cycles[0]) / machine.clock_hz + machine.launch_s
    format_, mask = {
        "depthwise": ("dense", None),
        "direct": ("dense", None),
        "csr": ("csr", case.mask),
        "grouped": ("bsr", case.mask),
    }[case.kernel]
    found = simulate_layer(case.layer, machine, mask, format=format_)
    assert found.time_s == pytest.approx(alone_s, rel=1e-3)


def _worst(measured: dict[str, Measured], machine: object, scale: Scale) -> float:
    return max(
        float(np.abs(np.log(one.predicted_s(machine, scale) / one.time_s)).max())  # type: ignore[arg-type]
        for one in measured.values()
    )


def sample(seconds: float, *, gated: bool = True, kernel: str = "csr") -> Sample:
    case = next(designed_cases())
    return Sample(case=case, kernel=kernel, threads=1, cold=False, timing=timing(seconds, gated=gated))


def test_passes_of_the_same_kernel_become_one_timing() -> None:
    found = combined([sample(1.0), sample(2.0, kernel="dense"), sample(0.8), sample(0.5, gated=False)])
    assert [(one.kernel, one.timing.time_s) for one in found] == [("csr", 0.8), ("dense", 2.0)]
    assert found[0].timing.spread == pytest.approx(0.25)


def test_disturbed_timings_only_say_that_the_truth_is_not_longer() -> None:
    scale = Scale(clock_hz=3e9, dram_bytes_per_s=30e9)
    start = parameters()
    cases = list(designed_cases())[:12]
    blank = [
        Sample(case=case, kernel="csr", threads=1, cold=False, timing=timing(1.0, gated=place % 2 > 0))
        for place, case in enumerate(cases)
    ]
    made = by_kernel(start, blank, lambda case: WeightOperand(case.m, case.k, make_mask(case, 1)))["csr"]  # type: ignore[arg-type]
    slow = np.array([1.0 if one.timing.gated else 3.0 for one in blank])
    times = made.predicted_s(start, scale) * slow  # type: ignore[arg-type]
    fitted = fit_machine(start, scale, {"csr": dataclasses.replace(made, time_s=times)})  # type: ignore[arg-type]
    assert made.predicted_s(fitted, scale) == pytest.approx(times / slow, rel=0.01)


def test_a_timing_counts_by_how_far_its_passes_lie_apart() -> None:
    near, far = (dataclasses.replace(timing(1.0), spread=spread) for spread in (0.0, 0.5))
    once = timing(1.0)
    assert list(scatter([near, far])) == sorted(scatter([near, far]))
    assert scatter([near, far, once])[2] == pytest.approx(scatter([near, far, once])[:2].mean(), rel=0.2)
    assert scatter([once])[0] > SCATTER


def test_limits_measured_twice_are_the_better_ones() -> None:
    worse = dataclasses.replace(
        LIMITS,
        one=dataclasses.replace(LIMITS.one, fma_flops=50e9),
        launch_s={**LIMITS.launch_s, "csr": 7e-6, "dense": 9e-6},
    )
    best = better_host(LIMITS, worse)
    assert best.one == LIMITS.one
    assert (best.launch_s["csr"], best.launch_s["dense"]) == (7e-6, 8e-6)


def test_the_read_curve_never_rises() -> None:
    rates = tuple(1e9 * rate for rate in (90, 100, 80, 85, 60, 62, 40, 41, 30, 29, 20, 21, 20))
    limits = dataclasses.replace(LIMITS.one, read_bytes_per_s=rates)
    sizes, falling = read_curve(limits, 2**25)
    assert list(sizes) == sorted(sizes)
    assert list(falling) == sorted(falling, reverse=True)
    assert max(sizes) <= 0.4 * 2**25


def test_this_host_has_caches_and_threads() -> None:
    cpu = host_cpu()
    assert cpu.threads >= cpu.l3_sharers >= 1
    assert 1 << 12 <= cpu.cache_bytes[1] < cpu.cache_bytes[2] <= cpu.cache_bytes[3]


def test_the_command_writes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = machine_text(CPU, LIMITS, parameters(), SOURCES)  # type: ignore[arg-type]
    noise = calibration.noise_floor([timing(1.0)])
    done = calibration.Calibration(
        text=text, cpu=CPU, limits=LIMITS, parameters=parameters(), noise=noise, timings=1,  # type: ignore[arg-type]
        median_error=0.03, p90_error=0.1, gate_s=4e-6, warnings=("disturbed",),
    )  # fmt: skip
    monkeypatch.setattr(calibration, "calibrate", lambda **_: done)
    path = tmp_path / "mine.yaml"
    assert run(["calibrate", "--output", str(path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["file"] == str(path)
    assert record["warnings"] == ["disturbed"]
    assert path.read_text() == text
    assert run(["calibrate", "--output", str(path)]) == 0
    assert "warning: disturbed" in capsys.readouterr().out
    assert run(["calibrate", "--budget", "1"]) == 2


def test_a_line_a_minute_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    tell = lines("calibrate", clock=lambda: now[0])
    for second in range(0, 150, 10):
        now[0] = float(second)
        tell("pass 1", second / 150)
    assert capsys.readouterr().err.splitlines() == ["calibrate: 40 %, pass 1", "calibrate: 80 %, pass 1"]
