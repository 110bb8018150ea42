"""Whole networks on CPUs: MobileNetV1 on a phone and a Raspberry Pi, OPT-2.7B on a desktop processor.

Weights of 1x1 convolutions are unstructured at random; the first convolution, the depthwise ones and the
classifier stay dense, as in Fast Sparse ConvNets. OPT's products with weights are all sparse, 400 tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, LayerKind, gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.networks import workload_with

_TOLERANCE = 0.30
_SEED = 2020
_HIDDEN, _BLOCKS, _TOKENS, _HEADS = 2560, 32, 400, 32
_NOTE = "the machine was fitted to one dense and one sparse row; the others are predicted"


def checks() -> list[Check]:
    """Latency within 30 %, the order of the widths, and OPT's speed-up."""
    return [*_phone(), *_board(), *_opt()]


def network_s(machine: HardwareModel, layers: Iterable[Layer], sparsity: float, dtype: str = "fp32") -> float:
    """Seconds of all layers, products with 1x1 windows at ``sparsity`` and the rest dense."""
    total = 0.0
    for seed, layer in enumerate(layers):
        mask, form = None, "dense"
        if sparsity and _is_pointwise(layer):
            mask = np.random.default_rng([_SEED, seed]).random((layer.m, layer.k)) >= sparsity
            form = "csr"
        if layer.kind.is_product:
            result = simulate_layer(layer, machine, mask, format=form, dtype=dtype)
            total += layer.count * result.time_s
    return total


def _is_pointwise(layer: Layer) -> bool:
    conv = layer.conv
    return conv is not None and layer.groups == 1 and conv.kernel_height * conv.kernel_width == 1


def _phone() -> list[Check]:
    machine = dataclasses.replace(load_hardware("snapdragon-835"), units=1)
    made, pairs = [], []
    for row in table("endtoend_measured"):
        if "835" not in row["hardware"]:
            continue
        width = float(row["model"].split()[-1].rstrip("X"))
        layers = workload_with("mobilenet_v1", width=round(100 * width)).layers
        ours_ms = 1e3 * network_s(machine, layers, float(row["sparsity"]))
        pairs.append((ours_ms, float(row["value"])))
        name = f"MobileNetV1 {width:g}, {100 * float(row['sparsity']):.0f} % sparse, Snapdragon 835"
        made.append(_check(name, "latency", ours_ms, pairs[-1][1], "ms", row["source"]))
    order = [np.argsort([pair[side] for pair in pairs]).tolist() for side in (0, 1)]
    made.append(
        _check(
            f"{len(pairs)} rows, Snapdragon 835",
            "ranking is right",
            float(order[0] == order[1]),
            1.0,
            "",
            "data/endtoend_measured.csv, row by row",
            tolerance=0.0,
        )
    )
    return made


def _board() -> list[Check]:
    machine = load_hardware("raspberry-pi-4")
    layers = workload_with("mobilenet_v1").layers
    made = []
    for row in table("endtoend_measured"):
        if "BCM2711" in row["hardware"]:
            dtype = row["model"].split()[0].lower()
            ours_ms = 1e3 * network_s(machine, layers, 0.0, dtype)
            name = f"MobileNetV1 dense {dtype}, Raspberry Pi 4"
            made.append(_check(name, "latency", ours_ms, float(row["value"]), "ms", row["source"]))
    return made


def _opt() -> list[Check]:
    machine = load_hardware("core-i9-7980xe")
    found = [row for row in table("endtoend_measured") if row["model"] == "OPT-2.7B"]
    return [
        _check(
            f"OPT-2.7B, 400 tokens, {100 * float(row['sparsity']):.0f} % sparse, Core i9-7980XE",
            "speed-up",
            _opt_s(machine, 0.0) / _opt_s(machine, float(row["sparsity"])),
            float(row["value"]),
            "",
            row["source"],
            note="our dense product is MKL-like; DeepSparse's own dense time is the published baseline",
        )
        for row in found
    ]


def _opt_s(machine: HardwareModel, sparsity: float) -> float:
    """Seconds of all blocks: four projections, two products of the MLP, two of attention."""
    shapes = ((_HIDDEN, _HIDDEN, 4), (4 * _HIDDEN, _HIDDEN, 1), (_HIDDEN, 4 * _HIDDEN, 1))
    total = 0.0
    for seed, (m, k, times) in enumerate(shapes):
        layer = gemm_layer("projection", m, k, _TOKENS)
        mask = None
        if sparsity:
            mask = np.random.default_rng([_SEED, seed]).random((m, k)) >= sparsity
        form = "auto" if sparsity else "dense"
        total += times * simulate_layer(layer, machine, mask, format=form).time_s
    width = _HIDDEN // _HEADS
    for m, k, n in ((_TOKENS, width, _TOKENS), (width, _TOKENS, _TOKENS)):
        attention = Layer(
            name="attention",
            kind=LayerKind.MATMUL,
            m=_HEADS * m,
            k=k,
            n=n,
            groups=_HEADS,
            input_elements=_HEADS * (m * k + k * n),
            output_elements=_HEADS * m * n,
        )
        total += simulate_layer(attention, machine, format="dense").time_s
    return _BLOCKS * total


def _check(
    row: str,
    quantity: str,
    ours: float,
    published: float,
    unit: str,
    source: str,
    *,
    tolerance: float = _TOLERANCE,
    note: str = _NOTE,
) -> Check:
    return Check(
        target="cpu-networks",
        row=row,
        quantity=quantity,
        ours=ours,
        published=published,
        unit=unit,
        tolerance=tolerance,
        kind="hardware",
        source=source,
        relative=tolerance > 0,
        note=note,
    )
