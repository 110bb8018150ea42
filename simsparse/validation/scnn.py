"""SCNN over its dense twin: speed-up, energy and spilling layers, from the published density of each layer.

Zeros are placed at random, exactly as many as published. A network is the sum over its layers; energies are
priced by tables that are not the paper's, so they are a check of magnitude only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.hardware import HardwareModel
from simsparse.ir import ConvShape, Layer, conv_layer
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.validation.check import Check
from simsparse.validation.data_files import table

SEED = 2017
NETWORKS = ("AlexNet", "VGG-16", "GoogLeNet")
_DENSE = "GoogLeNet at density 1"
_MEAN = "mean of three networks"

Results = Mapping[str, Sequence[LayerResult]]
"""The layers of a network by machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Densities:
    """Kept shares of one layer."""

    weights: float = 1.0
    inputs: float = 1.0
    outputs: float = 1.0


def checks() -> list[Check]:
    """Speed-ups within 10 %, energies within 20 %, and which layers spill, exactly."""
    machines = [load_hardware(name) for name in ("scnn", "dcnn", "dcnn-opt")]
    runs = {network: simulated(network, machines) for network in NETWORKS}
    runs[_DENSE] = simulated("GoogLeNet", machines[:2], dense=True)
    ours = _figures(runs)
    spilled = ", ".join(spilling(runs["VGG-16"]["scnn"]))
    notes = {("VGG-16", "layers that spill"): f"layers that spill: {spilled}"}
    return [
        Check(
            target="scnn",
            row=row["row"],
            quantity=row["quantity"],
            ours=ours[row["row"], row["quantity"]],
            published=float(row["value"]),
            unit="layers" if "layers" in row["quantity"] else "x",
            tolerance=float(row["tolerance"]),
            kind="hardware",
            source=row["source"],
            relative="layers" not in row["quantity"],
            note=notes.get((row["row"], row["quantity"]), ""),
        )
        for row in table("scnn_published")
    ]


def _figures(runs: Mapping[str, Results]) -> dict[tuple[str, str], float]:
    figures: dict[tuple[str, str], float] = {}
    for name, results in runs.items():
        time_s, energy_j = _totals(results, "time_s"), _totals(results, "energy_j")
        figures[name, "speed-up over dcnn"] = time_s["dcnn"] / time_s["scnn"]
        figures[name, "energy by that of dcnn"] = energy_j["scnn"] / energy_j["dcnn"]
    for machine in ("scnn", "dcnn-opt"):
        totals = [_totals(runs[network], "energy_j") for network in NETWORKS]
        ratios = [energy_j["dcnn"] / energy_j[machine] for energy_j in totals]
        figures[_MEAN, f"energy of dcnn by that of {machine}"] = float(np.mean(ratios))
    spills = {network: len(spilling(runs[network]["scnn"])) for network in NETWORKS}
    figures["VGG-16", "layers that spill"] = spills["VGG-16"]
    figures["AlexNet and GoogLeNet", "layers that spill"] = spills["AlexNet"] + spills["GoogLeNet"]
    return figures


def _totals(results: Results, name: str) -> dict[str, float]:
    return {machine: sum(getattr(layer, name) for layer in layers) for machine, layers in results.items()}


def spilling(layers: Sequence[LayerResult]) -> list[str]:
    """Names of the layers whose activations cross DRAM: more than their weights does."""
    return [layer.name for layer in layers if layer.cost.dram_bytes > layer.cost.stored_bytes]


def simulated(network: str, machines: Sequence[HardwareModel], *, dense: bool = False) -> Results:
    """Every layer of a network of the table on each machine, at its published densities or dense."""
    results: dict[str, list[LayerResult]] = {machine.name: [] for machine in machines}
    for row in table("scnn_layer_densities"):
        if row["network"] != network:
            continue
        kept = Densities() if dense else Densities(**{f"{k}s": float(row[f"{k}_density"]) for k in _KINDS})
        layer = _layer(row)
        weights, inputs = _operands(layer, kept)
        for machine in machines:
            runner = LayerRunner(hardware=machine, dtype=machine.default_dtype)
            names = ("dense",) if dense and "dense" in machine.formats else tuple(machine.formats)
            results[machine.name].append(runner.product(layer, weights, inputs, names, None))
    return results


_KINDS = ("weight", "input", "output")


def _layer(row: Mapping[str, str]) -> Layer:
    """The table has stride 1 everywhere and planes that keep their size (AlexNet's first layer is folded)."""
    c, k, r, s, p, q = (int(row[name]) for name in "CKRSPQ")
    conv = ConvShape(
        batch=1,
        in_channels=c,
        in_height=p,
        in_width=q,
        kernel_height=r,
        kernel_width=s,
        out_height=p,
        out_width=q,
        padding=(r // 2, s // 2, r // 2, s // 2),
    )
    return conv_layer(row["layer"], conv, k)


def _operands(layer: Layer, kept: Densities) -> tuple[WeightOperand, ActivationOperand]:
    inputs = ActivationOperand(layer, density=kept.inputs, output_density=kept.outputs, seed=SEED)
    if kept.weights == 1.0:
        return WeightOperand(layer.m, layer.k), inputs
    flat = np.zeros(layer.m * layer.k, dtype=np.bool_)
    flat[: round(kept.weights * flat.size)] = True
    np.random.default_rng(SEED).shuffle(flat)
    return WeightOperand(layer.m, layer.k, flat.reshape(layer.m, layer.k)), inputs
