"""Held-out errors of fitted GPU constants: each refitted without the rows it is then tried on.

    python benchmarks/held_out.py [LIBRARY …]

For every library of the RTX 3090 rows one leading constant (efficiency, or cycles per load) is refitted over
the rows of all other weight shapes (M, K), by least median error on a grid around the shipped value, and
tried on the shape left out; then over every other shape (M, K, N), and tried on the other half, both ways.
Printed are median and 90th percentile of the error with the shipped constant, which has seen all rows, held
out shape by shape, and by halves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.hardware.gpu import GpuTilesParameters
from simsparse.load.catalog import load_hardware
from simsparse.validation import venom
from simsparse.validation.data_files import table
from simsparse.validation.gpu_timing import Shape, gpu_of, kernel_s

FACTORS = (0.9, 0.95, 1.0, 1.05, 1.1)
Change = Callable[[GpuTilesParameters, float], GpuTilesParameters]


def _kernel(part: str) -> Change:
    def change(gpu: GpuTilesParameters, factor: float) -> GpuTilesParameters:
        found = getattr(gpu, part)
        kernel = replace(found.kernel, efficiency=min(1.0, found.kernel.efficiency * factor))
        return replace(gpu, **{part: replace(found, kernel=kernel)})

    return change


def _loads(part: str) -> Change:
    def change(gpu: GpuTilesParameters, factor: float) -> GpuTilesParameters:
        found = getattr(gpu, part)
        return replace(gpu, **{part: replace(found, cycles_per_load=found.cycles_per_load * factor)})

    return change


def _dense(gpu: GpuTilesParameters, factor: float) -> GpuTilesParameters:
    return replace(gpu, dense=replace(gpu.dense, efficiency=min(1.0, gpu.dense.efficiency * factor)))


LIBRARIES: dict[str, tuple[str, Change]] = {
    "cuBLAS": ("efficiency", _dense),
    "cuSPARSELt 2:4": ("efficiency", _kernel("structured")),
    "Spatha(VENOM)": ("efficiency", _kernel("vnm")),
    "Sputnik": ("cycles per load", _loads("csr")),
    "CLASP": ("cycles per load", _loads("vectors")),
}


@cache
def machine(library: str, factor: float) -> HardwareModel:
    """The RTX 3090 with one constant changed."""
    base = load_hardware("rtx-3090")
    return replace(base, dataflow=LIBRARIES[library][1](gpu_of(base), factor))


def time_s(library: str, row: dict[str, str], factor: float) -> float:
    """Our time of a published row."""
    shape: Shape = (int(row["M"]), int(row["K"]), int(row["N"]))
    stored, mask = ("dense", None) if library == "cuBLAS" else venom.stored(library, shape, row)
    return kernel_s(machine(library, factor), shape, stored, mask)


def rows_of(library: str) -> list[tuple[dict[str, str], float]]:
    """Published rows and seconds; cuBLAS rows are those with fp32 sums, each shape once."""
    found = table("venom_rtx3090_spmm")
    if library != "cuBLAS":
        return [(row, float(row["spmm_ms"]) / 1e3) for row in found if row["library"] == library]
    dense = {(row["M"], row["K"], row["N"]): row for row in found if row["library"] not in venom.FP16_SUMS}
    return [(row, float(row["cublas_gemm_ms"]) / 1e3) for row in dense.values()]


def held_out(library: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors with the shipped constant, with one that has not seen the row's (M, K), and by halves."""
    rows = rows_of(library)
    ours = np.array([[time_s(library, row, factor) for factor in FACTORS] for row, _ in rows])
    error = np.abs(ours / np.array([measured for _, measured in rows])[:, None] - 1)
    shapes = [tuple(int(row[side]) for side in "MKN") for row, _ in rows]
    order = {shape: index for index, shape in enumerate(sorted(set(shapes)))}
    half = np.array([order[shape] % 2 for shape in shapes])
    weight = np.array([f"{m}x{k}" for m, k, _ in shapes])
    return error[:, FACTORS.index(1.0)], _tried(error, weight), _tried(error, half)


def _tried(error: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(rows,) error of each row with the factor that is best without its fold."""
    out = np.empty(len(error))
    for left in np.unique(fold):
        best = int(np.argmin(np.median(error[fold != left], axis=0)))
        out[fold == left] = error[fold == left, best]
    return out


def main(libraries: list[str]) -> None:
    """Print the table."""
    print(f"{'library':16} {'constant':16} rows   {'seen':14} {'by (M, K)':14} by halves")
    for library in libraries or LIBRARIES:
        parts = [
            " / ".join(f"{100 * np.quantile(errors, share):4.1f} %" for share in (0.5, 0.9))
            for errors in held_out(library)
        ]
        rows = len(rows_of(library))
        print(f"{library:16} {LIBRARIES[library][0]:16} {rows:4}   {'  '.join(parts)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
