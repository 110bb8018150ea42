"""Speed and memory of the simulator, side by side with SCALE-Sim v3 when asked.

    python benchmarks/simulate_speed.py [--peers] [--csv FILE] [--machines NAME …]

Prints, for ResNet-50 at 90 % unstructured on every bundled machine: CPU seconds from masks to report in a
warm process, CPU and wall seconds and peak memory of the whole command in a fresh process (imports, cached
kernels, seeded weights, masks); then tiles per second of both engines, the time over four sizes, and
Llama-2-7B; with ``--machines`` only the rows of these. With ``--peers`` the same layers run dense in SCALE-
Sim v3 in an environment of its own.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from simsparse.engine import execute
from simsparse.ir import Layer, Workload
from simsparse.load.catalog import load_model, names
from simsparse.pattern import parse_pattern
from simsparse.plan import Channel, Plan, Stream, TileKind
from simsparse.pruning.prune import prune
from simsparse.pruning.pruned import Pruned
from simsparse.report.json import to_json
from simsparse.simulate import simulate_pruned

PATTERN = "unstructured:0.9"
PEER_PACKAGES = ("scalesim==3.0.0", "numpy==1.26.4", "pandas==2.2.3", "numba==0.60.0")


class KnownMasks(Pruned):
    """A pruned workload whose masks are there already."""

    def mask(self, layer: Layer) -> np.ndarray | None:
        """The mask made beforehand."""
        return _MASKS[layer.name]


_MASKS: dict[str, np.ndarray | None] = {}


def with_masks(workload: Workload) -> KnownMasks:
    """Prune, and make all masks now."""
    pruned = prune(workload, parse_pattern(PATTERN))
    _MASKS.update({layer.name: pruned.mask(layer) for layer in workload.layers})
    taken = ("workload", "pattern", "criterion", "seed", "densities", "notes", "profile")
    return KnownMasks(**{name: getattr(pruned, name) for name in taken})


def cpu_s(work: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU seconds over ``repeats``."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def fresh_process(*arguments: str) -> tuple[float, float, float]:
    """(wall s, CPU s, peak MB) of one command of the program; run twice, the second time counts."""
    command = [sys.executable, "-m", "simsparse", *arguments]
    for _ in range(2):
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        if status:
            raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def machines(wanted: list[str]) -> list[dict[str, object]]:
    """One row per machine."""
    pruned = with_masks(load_model("resnet50"))
    rows: list[dict[str, object]] = []
    for name in wanted:
        simulate_pruned(pruned, on=name)
        warm = cpu_s(lambda name=name: to_json(simulate_pruned(pruned, on=name)))  # type: ignore[misc]
        wall, cpu, peak = fresh_process("simulate", "resnet50", "--on", name, "--prune", PATTERN)
        rows.append(
            {
                "machine": name,
                "warm_cpu_s": warm,
                "cold_wall_s": wall,
                "cold_cpu_s": cpu,
                "cold_peak_mb": peak,
            }
        )
        print(f"{name:18} {warm:10.2f} {wall:11.2f} {cpu:11.2f} {peak:9.0f}", flush=True)
    return rows


def tiles_plan(tiles: int) -> Plan:
    """Double-buffered unicast tiles on eight units behind one DRAM channel."""
    generator = np.random.default_rng(0)
    return Plan(
        kind=TileKind.UNICAST,
        units=8,
        channels=(Channel(name="dram", bytes_per_cycle=64.0, latency_cycles=100.0),),
        fetch_streams=(Stream(name="weights", channel=0),),
        drain_streams=(Stream(name="outputs", channel=0),),
        fetch_bytes=generator.integers(1, 8000, (tiles, 1)),
        drain_bytes=generator.integers(0, 2000, (tiles, 1)),
        compute_cycles=generator.random(tiles) * 1000,
    )


def engines() -> None:
    """Tiles per second of both engines, and the compiled engine's time over four sizes."""
    execute(tiles_plan(10))
    for size in (1_000, 10_000, 100_000, 1_000_000):
        plan = tiles_plan(size)
        seconds = cpu_s(lambda plan=plan: execute(plan))  # type: ignore[misc]
        print(f"compiled {size:9} tiles {seconds:8.3f} s  {size / seconds / 1e6:6.2f} M tiles/s")
    plan = tiles_plan(2_000)
    seconds = cpu_s(lambda: execute(plan, engine="simpy"), repeats=1)
    print(f"simpy    {2_000:9} tiles {seconds:8.3f} s  {2_000 / seconds / 1e6:6.4f} M tiles/s")


def llama() -> None:
    """Llama-2-7B in fresh processes."""
    for model in ("llama-2-7b-decode", "llama-2-7b-prefill"):
        wall, cpu, peak = fresh_process("simulate", model, "--on", "a100-80gb", "--prune", "2:4")
        print(f"{model:20} on a100-80gb 2:4: {wall:6.2f} s wall, {cpu:6.2f} s CPU, {peak:6.0f} MB")


def peer() -> None:
    """SCALE-Sim v3 on the convolutions and the linear layer of ResNet-50, dense, on a 256 x 256 array."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        venv.create(root / "env", with_pip=True)
        python = str(root / "env" / "bin" / "python")
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *PEER_PACKAGES], check=True, stderr=subprocess.DEVNULL
        )
        (root / "resnet50.csv").write_text(_topology())
        (root / "scale.cfg").write_text(_CONFIGURATION)
        (root / "layout.csv").write_text("header,\n")  # it wants the file, and reads nothing from it here
        (root / "run.py").write_text(_PEER_SCRIPT)
        (root / "out").mkdir()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        command = [python, "run.py", "scale.cfg", "resnet50.csv", "out"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        reports = list((root / "out").rglob("COMPUTE_REPORT.csv"))
        if not reports:
            print(f"SCALE-Sim v3 gave no report (exit {done.returncode}): {done.stderr.strip()[-300:]}")
            return
        rows = list(csv.reader(reports[0].read_text().splitlines()))
        column = next(
            i for i, title in enumerate(rows[0]) if title.strip().lower().startswith("total cycles")
        )
        cycles = sum(float(row[column]) for row in rows[1:] if len(row) > column)
        print(
            f"SCALE-Sim v3, dense ResNet-50, {len(rows) - 1} layers:"
            f" {cpu:.1f} s CPU, {wall:.1f} s wall, {cycles:.0f} cycles"
        )


def _topology() -> str:
    lines = [
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
    ]
    for layer in load_model("resnet50").layers:
        conv = layer.conv
        if conv is not None:
            height, width = conv.in_height + 2 * conv.padding[0], conv.in_width + 2 * conv.padding[1]
            shape = (
                height,
                width,
                conv.kernel_height,
                conv.kernel_width,
                conv.in_channels,
                layer.m,
                conv.stride[0],
            )
            lines.append(f"{layer.name.replace('.', '_')}, {', '.join(map(str, shape))},")
        elif layer.kind.has_weights:
            lines.append(f"{layer.name}, 1, 1, 1, 1, {layer.k}, {layer.m}, 1,")
    return "\n".join(lines) + "\n"


_CONFIGURATION = """[general]
run_name = resnet50
[architecture_presets]
ArrayHeight: 256
ArrayWidth: 256
IfmapSramSzkB: 8192
FilterSramSzkB: 8192
OfmapSramSzkB: 8192
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: ws
Bandwidth: 50
ReadRequestBuffer: 512
WriteRequestBuffer: 512
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
_PEER_SCRIPT = """import sys
from scalesim.scale_sim import scalesim
scalesim(save_disk_space=True, verbose=False, config=sys.argv[1], topology=sys.argv[2], layout="layout.csv",
input_type_gemm=False).run_scale(top_path=sys.argv[3])
"""


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", action="store_true", help="run SCALE-Sim v3 on the same layers (minutes)")
    parser.add_argument("--machines", nargs="+", metavar="NAME", help="only these machines, nothing else")
    parser.add_argument("--csv", type=Path, help="write the table of machines here")
    options = parser.parse_args()
    print(
        f"{'ResNet-50 at 90 %':18} {'warm CPU s':>10} {'cold wall s':>11} {'cold CPU s':>11} {'peak MB':>9}"
    )
    rows = machines(options.machines or names("hardware"))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if options.machines:
        return
    engines()
    llama()
    if options.peers:
        peer()


if __name__ == "__main__":
    main()
