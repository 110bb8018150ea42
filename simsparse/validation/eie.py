"""EIE: theoretical time and load balance of fully connected layers, from published densities and seeded
masks.
"""

from __future__ import annotations

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table

SEED = 2016
_TOLERANCE = {"AlexNet-FC8": 0.20}
_BALANCE_TOLERANCE = 0.05


def checks() -> list[Check]:
    """Theoretical time within 10 % (AlexNet-FC8 20 %: its published densities are rounded) and balance
    within 0.05; rates of both designs within 10 %.
    """
    hardware = load_hardware("eie")
    layers = [check for row in table("eie_layers") for check in _row(row, hardware)]
    return [*layers, *(_rate(row) for row in table("eie_rates"))]


def _rate(row: dict[str, str]) -> Check:
    """Matrix-vector products of AlexNet-FC7 per second."""
    return Check(
        target="eie",
        row=f"AlexNet-FC7 on {row['machine']}",
        quantity="products per second",
        ours=1 / simulated(row, load_hardware(row["machine"])).time_s,
        published=float(row["products_per_s"]),
        unit="1/s",
        tolerance=0.10,
        kind="hardware",
        source=row["source"],
        note="densities of the layer from memory",
    )


def _row(row: dict[str, str], hardware: HardwareModel) -> list[Check]:
    result = simulated(row, hardware)
    ours = theoretical_s(result, hardware)
    published = float(row["theoretical_us_64PE_800MHz"]), float(row["actual_us_64PE_800MHz"])
    return [
        Check(
            target="eie",
            row=row["layer"],
            quantity="theoretical time",
            ours=ours * 1e6,
            published=published[0],
            unit="us",
            tolerance=_TOLERANCE.get(row["layer"], 0.10),
            kind="hardware",
            source=row["source"],
        ),
        Check(
            target="eie",
            row=row["layer"],
            quantity="load balance",
            ours=ours / result.time_s,
            published=published[0] / published[1],
            unit="",
            tolerance=_BALANCE_TOLERANCE,
            kind="hardware",
            source=row["source"],
            relative=False,
            note="theoretical by actual time",
        ),
    ]


def simulated(row: dict[str, str], hardware: HardwareModel) -> LayerResult:
    """A layer of the table with exactly its published densities, zeros placed at random."""
    m, k = int(row["outputs"]), int(row["inputs"])
    generator = np.random.default_rng(SEED)
    weights = _random(generator, (m, k), float(row["weight_density"]))
    inputs = _random(generator, (k, 1), float(row["activation_density"]))
    return simulate_layer(gemm_layer(row["layer"], m, k, 1), hardware, weights, inputs)


def theoretical_s(result: LayerResult, hardware: HardwareModel) -> float:
    """Entries to be worked off, padding included, over all PEs at one per cycle."""
    return result.counts[("weight_memory", "entry")] / hardware.units / hardware.clock_hz


def _random(generator: np.random.Generator, shape: tuple[int, int], density: float) -> np.ndarray:
    size = shape[0] * shape[1]
    flat = np.zeros(size, dtype=np.bool_)
    flat[: round(density * size)] = True
    generator.shuffle(flat)
    return flat.reshape(shape)
