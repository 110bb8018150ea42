"""Times of dense and sparse products on the GPU at hand, with torch.

    python benchmarks/gpu_measure.py [--out FILE] [--seconds 540] [--device cuda|cpu]

Measures Y = W X for a grid of shapes, token counts (those of decoding included), dtypes and densities: dense,
2:4 with the cuSPARSELt and the CUTLASS backend, CSR, and BSR in several block sizes. Writes one row per point
to ``benchmarks/data/<gpu>.csv`` with the median time, the spread, board power and clocks under load (NVML),
and the versions of driver, CUDA, torch and libraries. A point that the installed torch cannot run is a row
with the reason and no time. ``--device cpu`` measures a few small points without power, which is what the
tests run.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
SHAPES = ((768, 768), (3072, 768), (768, 3072), (4096, 4096), (14336, 4096), (4096, 14336), (3072, 10240))
TOKENS = (1, 8, 16, 64, 512, 4096)
DTYPES = ("float16", "bfloat16", "float32", "int8")
DENSITIES = (0.5, 0.2, 0.1, 0.05)
BLOCKS = (16, 32, 64)
_REPEATS, _ROUND_S = 15, 0.02


@dataclass(frozen=True, kw_only=True)
class Point:
    """One product: how its weights are stored, its sizes and its dtype."""

    kernel: str
    """``dense``, ``2:4 cusparselt``, ``2:4 cutlass``, ``csr`` or ``bsr``"""
    m: int
    k: int
    n: int
    dtype: str
    density: float = 1.0
    block: int = 0


@dataclass(frozen=True, kw_only=True)
class Row(Point):
    """A point's measurement; ``failed`` says why there is none."""

    time_us: float | None = None
    spread: float | None = None
    """(third quartile − first quartile) / median"""
    power_w: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    failed: str = ""
    gpu: str = ""
    versions: str = ""


def points(*, small: bool = False) -> Iterator[Point]:
    """The grid, cheap and telling points first, so that a run cut short is still of use."""
    shapes, tokens = (((64, 64),), (1, 16)) if small else (SHAPES, TOKENS)
    dtypes = ("float32",) if small else DTYPES
    for dtype, (m, k), n in itertools.product(dtypes, shapes, tokens):
        yield Point(kernel="dense", m=m, k=k, n=n, dtype=dtype)
        if dtype != "float32":
            for backend in ("cusparselt", "cutlass"):
                yield Point(kernel=f"2:4 {backend}", m=m, k=k, n=n, dtype=dtype, density=0.5)
    for dtype, (m, k), n in itertools.product(("float32",) if small else DTYPES[:3], shapes, tokens):
        for density in DENSITIES:
            if dtype == "float32":
                yield Point(kernel="csr", m=m, k=k, n=n, dtype=dtype, density=density)
            for block in BLOCKS:
                yield Point(kernel="bsr", m=m, k=k, n=n, dtype=dtype, density=density, block=block)


def operation(torch: Any, point: Point, device: str) -> Callable[[], Any]:
    """The product as a call without arguments; its operands are made here, once."""
    dtype = getattr(torch, point.dtype)
    generator = torch.Generator().manual_seed(0)
    weights = _weights(torch, point, generator).to(device)
    inputs = torch.randint(-4, 4, (point.k, point.n), generator=generator).to(device)
    weights, inputs = weights.to(dtype), inputs.to(dtype)
    if point.kernel == "dense":
        if point.dtype == "int8":
            turned = inputs.t().contiguous()
            return lambda: torch._int_mm(turned, weights.t())
        return lambda: torch.mm(weights, inputs)
    if point.kernel.startswith("2:4"):
        from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured

        SparseSemiStructuredTensor._FORCE_CUTLASS = point.kernel.endswith("cutlass")
        held = to_sparse_semi_structured(weights)
        return lambda: torch.mm(held, inputs)
    if point.kernel == "csr":
        stored = weights.to_sparse_csr()
        return lambda: torch.mm(stored, inputs)
    blocked = weights.to_sparse_bsr((point.block, point.block))
    turned = inputs.t().contiguous()
    return lambda: torch.nn.functional.linear(turned, blocked)


def _weights(torch: Any, point: Point, generator: Any) -> Any:
    """(m, k) integers from −4 to 4, none of the kept ones zero."""
    values = torch.randint(1, 5, (point.m, point.k), generator=generator)
    values = values * (2 * torch.randint(0, 2, values.shape, generator=generator) - 1)
    if point.kernel.startswith("2:4"):
        return values * torch.tensor([1, 0, 1, 0]).repeat(point.k // 4)
    if point.density < 1:
        side = point.block or 1
        kept = torch.rand(point.m // side, point.k // side, generator=generator) < point.density
        values = values * kept.repeat_interleave(side, 0).repeat_interleave(side, 1)
    return values


class Board:
    """Power and clocks from NVML; nothing where there is no GPU or no binding."""

    def __init__(self, device: str) -> None:
        self._nvml, self._handle = None, None
        if device == "cuda":
            try:
                import pynvml

                pynvml.nvmlInit()
                self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
            except Exception as error:
                print(f"no NVML ({error}): power and clocks are left empty")

    def reading(self) -> dict[str, Any]:
        """Fields of a row."""
        if self._nvml is None:
            return {}
        nvml, handle = self._nvml, self._handle
        return {
            "power_w": nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        }


def measured(torch: Any, point: Point, device: str, board: Board) -> Row:
    """A row: the median of rounds that each last about ``_ROUND_S``, read off the device's own clock."""
    row = Row(**asdict(point))
    try:
        run = operation(torch, point, device)
        for _ in range(3):
            run()
        once = _round_s(torch, run, 3, device)
        calls = max(1, round(_ROUND_S / max(once, 1e-7)))
        times = [_round_s(torch, run, calls, device) for _ in range(_REPEATS)]
        for _ in range(calls):
            run()
        loaded = board.reading()  # while the last round is still running
    except Exception as error:  # each kernel refuses in its own way; the reason is the result
        return replace(row, failed=" ".join(str(error).split())[:160] or type(error).__name__)
    low, median, high = statistics.quantiles(times, n=4)
    return replace(row, time_us=median * 1e6, spread=(high - low) / median, **loaded)


def _round_s(torch: Any, run: Callable[[], Any], calls: int, device: str) -> float:
    """Seconds per call of ``calls`` back to back."""
    if device != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1e3 / calls


def versions(torch: Any, device: str) -> tuple[str, str]:
    """The device's name, and the versions of all that decides a time."""
    if device != "cuda":
        return "cpu", f"torch {torch.__version__}"
    said = [f"torch {torch.__version__}", f"CUDA {torch.version.cuda}"]
    sparse = getattr(torch.backends, "cusparselt", None)
    if sparse is not None and sparse.is_available():
        said.append(f"cuSPARSELt {sparse.version()}")
    return torch.cuda.get_device_name(0), ", ".join(said)


def sweep(torch: Any, device: str, seconds: float) -> list[Row]:
    """All points that fit into ``seconds``."""
    name, said = versions(torch, device)
    board, rows, start = Board(device), [], time.monotonic()
    with torch.inference_mode():
        for point in points(small=device != "cuda"):
            if time.monotonic() - start > seconds:
                print(f"stopped after {seconds:.0f} s with {len(rows)} points")
                break
            rows.append(replace(measured(torch, point, device, board), gpu=name, versions=said))
    return rows


def write(rows: list[Row], path: Path) -> None:
    """The rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=[field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="the CSV; benchmarks/data/<gpu>.csv where left out")
    parser.add_argument("--seconds", type=float, default=540, help="stop starting points after so long")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(arguments)
    try:
        import torch
    except ImportError:
        raise SystemExit("gpu_measure: expected torch, got none installed (pip install torch)") from None
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("gpu_measure: expected a CUDA GPU, got none (--device cpu tries the script without)")
    rows = sweep(torch, options.device, options.seconds)
    name = rows[0].gpu.lower().replace(" ", "-").removeprefix("nvidia-") if rows else options.device
    path = options.out or DATA / f"{name}.csv"
    write(rows, path)
    done = sum(row.time_us is not None for row in rows)
    print(f"{done} of {len(rows)} points measured on {name}: {path}")


if __name__ == "__main__":
    main()
