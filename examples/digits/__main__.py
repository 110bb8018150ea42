"""Accuracy, latency and energy of a network that was really trained, pruned and run; nothing is downloaded.

    python examples/digits [--quick] [--csv FILE] [--html FILE]

A small CNN and an MLP learn scikit-learn's handwritten digits. Each is pruned by every criterion at seven
sparsities, fine-tuned briefly under its mask and exported to ONNX. Accuracy is that of the held-out images
through simsparse's sparse kernels on this host; time and energy are simulated on three machines with the
activation sparsity that these images cause.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from files import calibrate, input_densities, write_onnx
from network import CNN, MLP, Array, Network, accuracy_by, make, train
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import simsparse
from simsparse.hardware import HardwareModel
from simsparse.load.catalog import load_hardware, load_model
from simsparse.measure.network import load_network
from simsparse.pattern import Unstructured
from simsparse.pruning.criteria import criteria
from simsparse.pruning.data_criteria import DATA_CRITERIA
from simsparse.pruning.prune import prune
from simsparse.report.page import write_page
from simsparse.report.page_study import study_html
from simsparse.results import Run
from simsparse.sweep.pareto import front
from simsparse.units import si

MACHINES = ("eie", "eyeriss-v2-pe", "epyc-9654")
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98)
CRITERIA = tuple(name for name in criteria() if name != "given")
_TRAINED = 1400  # images; the other 397 are held out


@dataclass(frozen=True)
class Row:
    """One pruned network on one machine."""

    network: str
    criterion: str
    sparsity: float
    machine: str
    accuracy: float
    time_s: float
    energy_j: float
    stored_bytes: float
    speedup: float
    energy_ratio: float
    bound_by: str


def images(network: str) -> tuple[Array, NDArray[np.int64]]:
    """Pixels from 0 to 1 in the network's shape, and labels."""
    digits = load_digits()
    pixels = (digits.images / 16).astype(np.float32)
    return pixels[:, None] if network == "cnn" else pixels.reshape(-1, 64), digits.target.astype(np.int64)


def measured_accuracy(network: Network, x: Array, labels: NDArray[np.int64], path: Path) -> float:
    """Accuracy through the sparse kernels of this host, from the exported file."""
    write_onnx(network, path)
    running = load_network(path, batch=len(x))
    return accuracy_by(lambda pixels: running.run({"pixels": pixels})["logits"], x, labels)


def study(
    name: str,
    folder: Path,
    machines: Sequence[HardwareModel],
    *,
    epochs: int,
    sparsities: tuple[float, ...],
    tune: int,
) -> list[Row]:
    """Every row of one network."""
    x, labels = images(name)
    seen, held = slice(None, _TRAINED), slice(_TRAINED, None)
    network = make(name, CNN if name == "cnn" else MLP, seed=0)
    train(network, x[seen], labels[seen], epochs=epochs, rate=2e-3, seed=0)
    path, pruned_path = folder / f"{name}.onnx", folder / f"{name}-pruned.onnx"
    dense = measured_accuracy(network, x[held], labels[held], path)
    print(f"{name}: {dense:.1%} of the held-out images right before pruning", file=sys.stderr)
    workload, known = load_model(str(path)), calibrate(network, x[seen], labels[seen])
    rows = []
    for criterion in CRITERIA:
        for sparsity in sparsities:
            data = known if criterion in DATA_CRITERIA else None
            pruned = prune(workload, Unstructured(sparsity), criterion=criterion, calibration=data)
            thin = network.copy()
            for layer, target in zip(
                (la for la in workload.layers if la.kind.has_weights), thin.layers, strict=True
            ):
                weights, target.mask = pruned.weights_and_mask(layer)
                target.weights = weights.copy()
            train(thin, x[seen], labels[seen], epochs=tune, rate=1e-3, seed=1)
            accuracy = measured_accuracy(thin, x[held], labels[held], pruned_path)
            densities = input_densities(thin, x[held])
            asked = (name, criterion, sparsity)
            rows += [row(asked, accuracy, run) for run in simulated(str(pruned_path), machines, densities)]
    return rows


def simulated(path: str, machines: Sequence[HardwareModel], densities: dict[str, float]) -> list[Run]:
    """The pruned network on each machine; its zeros are in the file."""
    workload = load_model(path)
    return [simsparse.simulate(workload, on=machine, activations=densities) for machine in machines]


def row(asked: tuple[str, str, float], accuracy: float, run: Run) -> Row:
    """What is told of one network on one machine."""
    cost = run.totals
    return Row(
        *asked,
        machine=run.hardware,
        accuracy=accuracy,
        time_s=cost.time_s,
        energy_j=cost.energy_j,
        stored_bytes=cost.stored_bytes,
        speedup=run.speedup,
        energy_ratio=run.energy_ratio,
        bound_by=run.bound_by,
    )


def page(rows: Sequence[Row]) -> str:
    """The report of a study, from the rows as such a study names them."""
    table = pd.DataFrame([asdict(row) for row in rows])
    table = table.rename(columns={"network": "model", "machine": "hardware"})
    table["pattern"] = [str(Unstructured(share)) for share in table.pop("sparsity")]
    table = table.assign(format="auto", status="ok")
    kept = [
        own.index[at]
        for _, own in table.groupby("model")
        for at in front(own[["time_s", "energy_j", "stored_bytes"]].to_numpy().tolist())
    ]
    return study_html(
        table, table.loc[sorted(kept)], pd.DataFrame(), title="Digits: accuracy, latency, energy"
    )


def show(rows: list[Row]) -> None:
    """The front of each network and machine."""
    for network in dict.fromkeys(row.network for row in rows):
        for machine in MACHINES:
            here = [row for row in rows if (row.network, row.machine) == (network, machine)]
            print(f"\n{network} on {machine}: accuracy against energy")
            print(
                f"{'criterion':<10} {'zeros':>6} {'accuracy':>9} {'time':>10} {'energy':>10} {'speed-up':>9}"
            )
            kept = front([(-row.accuracy, row.energy_j) for row in here])
            for row in sorted((here[at] for at in kept), key=lambda row: -row.accuracy):
                what = f"{row.criterion:<10} {row.sparsity:>6.0%} {row.accuracy:>9.1%}"
                cost = f"{si(row.time_s, 's'):>10} {si(row.energy_j, 'J'):>10}"
                print(f"{what} {cost} {row.speedup:>8.2f}x")


def main() -> None:
    """Train, prune, measure, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two sparsities, less training")
    parser.add_argument("--csv", type=Path, help="write every row here, and the page of fronts beside it")
    parser.add_argument("--html", type=Path, help="write the page of fronts here")
    given = parser.parse_args()
    rows: list[Row] = []
    machines = [load_hardware(machine) for machine in MACHINES]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("mlp", "cnn"):
            quick = given.quick
            rows += study(
                name,
                Path(folder),
                machines,
                epochs=6 if quick else 25,
                sparsities=SPARSITIES[3:5] if quick else SPARSITIES,
                tune=1 if quick else 4,
            )
    show(rows)
    if given.csv:
        with given.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    target = given.html or (given.csv and given.csv.with_suffix(".html"))
    if target:
        write_page(page(rows), target)
        print(f"\nThe fronts as figures: {target}")


if __name__ == "__main__":
    main()
