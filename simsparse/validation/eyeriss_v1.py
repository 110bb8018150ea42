"""Eyeriss v1 on AlexNet, batch 4: the chip's latency, power, DRAM and buffer traffic, and DRAM compression.

Input planes are taken with their padding and the published share of zeros over all of it, as both tables do;
the two grouped pairs of layers are run as groups. The published power is the chip's, so DRAM is left out of
ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from simsparse.dataflows.task import ActivationOperand, WeightOperand
from simsparse.ir import ConvShape, Layer, conv_layer
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.validation.check import Check
from simsparse.validation.data_files import table

SEED = 2017
_GROUPS = {"conv2": 2, "conv4": 2, "conv5": 2}
_OUTPUTS = {"conv1": 55, "conv2": 27}
"""The chip ran planes of 55 and 27; the study's table rounds them up to 56 and 28."""
_LATENCY, _POWER, _TRAFFIC, _COMPRESSION = 0.10, 0.15, 0.10, 0.1


def checks() -> list[Check]:
    """Latency within 10 %, power 15 %, traffic 10 %, and compression within 0.1x."""
    runner = LayerRunner(hardware=load_hardware("eyeriss-v1"), dtype="int16")
    measured = {row["layer"].lower(): row for row in table("eyeriss_v1_layers")}
    found = []
    for row in table("eyeriss_v1_dram_compression"):
        found += _measurements(row, measured[row["layer"]], runner)
        found.append(_compression(row, runner))
    return found


def _measurements(row: Mapping[str, str], measured: Mapping[str, str], runner: LayerRunner) -> list[Check]:
    result = simulated(row, 1.0 - float(measured["ifmap_zeros_pct"]) / 100, runner)
    chip_w = (result.energy_j - result.cost.energy_by_component_j["dram"]) / result.time_s
    figures = (
        ("latency", result.time_s * 1e3, "total_latency_ms", "ms", _LATENCY),
        ("power", chip_w * 1e3, "power_mW", "mW", _POWER),
        ("DRAM traffic", result.cost.dram_bytes / 1e6, "DRAM_accesses_MB", "MB", _TRAFFIC),
        ("buffer traffic", result.counts[("buffer", "byte")] / 1e6, "GLB_accesses_MB", "MB", _TRAFFIC),
    )
    return [
        Check(
            target="eyeriss-v1",
            row=row["layer"],
            quantity=quantity,
            ours=ours,
            published=float(measured[column]),
            unit=unit,
            tolerance=tolerance,
            kind="hardware",
            source=measured["source"],
        )
        for quantity, ours, column, unit, tolerance in figures
    ]


def _compression(row: Mapping[str, str], runner: LayerRunner) -> Check:
    sparse = simulated(row, float(row["input_density"]), runner)
    dense = simulated(row, 1.0, runner)
    return Check(
        target="eyeriss-v1",
        row=row["layer"],
        quantity="DRAM compression",
        ours=dense.cost.dram_bytes / sparse.cost.dram_bytes,
        published=float(row["published_dram_compression_x"]),
        unit="x",
        tolerance=_COMPRESSION,
        kind="hardware",
        source=f"{row['published_status']}; {row['source']}",
        relative=False,
    )


def simulated(row: Mapping[str, str], density: float, runner: LayerRunner) -> LayerResult:
    """A layer of the table; at density 1 its outputs are dense too."""
    layer = alexnet_layer(row)
    outputs = float(row["output_density"]) if density < 1.0 else 1.0
    inputs = ActivationOperand(layer, density=density, output_density=outputs, seed=SEED)
    return runner.product(layer, WeightOperand(layer.m, layer.k), inputs, ("dense",), None)


def alexnet_layer(row: Mapping[str, str]) -> Layer:
    """The layer with its padded input plane."""
    groups, name = _GROUPS.get(row["layer"], 1), row["layer"]
    kernel, stride = int(row["R"]), int(row["stride"])
    out = _OUTPUTS.get(name, int(row["P"]))
    side = (out - 1) * stride + kernel
    conv = ConvShape(
        batch=int(row["N"]),
        in_channels=int(row["C"]) * groups,
        in_height=side,
        in_width=side,
        kernel_height=kernel,
        kernel_width=kernel,
        out_height=out,
        out_width=out,
        stride=(stride, stride),
    )
    return conv_layer(name, conv, int(row["M"]), groups=groups)
