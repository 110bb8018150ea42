"""Eyeriss v2 PE: cycles of MobileNet layers, exactly, and energy of two, from the nonzeros by channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from simsparse.hardware import HardwareModel, ScalarCscParameters
from simsparse.ir import ConvShape, conv_layer
from simsparse.load.catalog import load_hardware
from simsparse.results import LayerResult
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import document, table

_ENERGY = 0.02
_NOTE = (
    "energy in the artifact's own mapping (8 rows of W at once in L07, 16 in L21) and from its own energy"
    " table; it charges gated partial sums also for zero inputs, which our PE never meets"
)


def checks() -> list[Check]:
    """Cycles against ground truth, exactly; energy by component within 2 % of the artifact's model."""
    published = document("eyeriss_v2_pe_channel_nnz")
    hardware = load_hardware("eyeriss-v2-pe")
    found = [
        Check(
            target="eyeriss-v2-pe",
            row=name,
            quantity="cycles",
            ours=simulated(name, row, hardware).cycles,
            published=float(row["ground_truth_cycles"]),
            unit="cycles",
            tolerance=0.0,
            kind="hardware",
            source=published["source"],
        )
        for name, row in published["layers"].items()
    ]
    return found + [check for name in ("L07", "L21") for check in _energy(name, published, hardware)]


def simulated(name: str, row: Mapping[str, Any], hardware: HardwareModel) -> LayerResult:
    """One layer with the published number of nonzeros in each channel."""
    conv = ConvShape(
        batch=1,
        in_channels=row["C"],
        in_height=row["P"],
        in_width=row["Q"],
        kernel_height=1,
        kernel_width=1,
        out_height=row["P"],
        out_width=row["Q"],
    )
    weights = _first(row["weight_nnz_per_channel"], row["M"]).T
    inputs = _first(row["act_nnz_per_channel"], row["P"] * row["Q"])
    layer = conv_layer(name, conv, row["M"])
    return simulate_layer(layer, hardware, np.ascontiguousarray(weights), inputs)


def mapped(hardware: HardwareModel, row_tile: int) -> HardwareModel:
    """The PE with another number of rows worked on at once."""
    flow = hardware.dataflow
    if not isinstance(flow, ScalarCscParameters):
        raise TypeError(f"{hardware.name}: expected scalar-csc parameters")
    return dataclasses.replace(hardware, dataflow=dataclasses.replace(flow, row_tile=row_tile))


def _energy(name: str, published: Mapping[str, Any], hardware: HardwareModel) -> list[Check]:
    rows = [row for row in table("eyeriss_v2_pe_energy") if row["layer"] == name]
    result = simulated(name, published["layers"][name], mapped(hardware, int(rows[0]["row_tile"])))
    theirs = {row["component"]: float(row["energy_pj"]) for row in rows}
    ours = {component: result.cost.energy_by_component_j[component] * 1e12 for component in theirs}
    pairs = {f"{component} energy": (ours[component], theirs[component]) for component in theirs}
    pairs["energy"] = (result.energy_j * 1e12, sum(theirs.values()))
    return [
        Check(
            target="eyeriss-v2-pe",
            row=name,
            quantity=quantity,
            ours=mine,
            published=reference,
            unit="pJ",
            tolerance=_ENERGY,
            kind="simulator parity",
            source=rows[0]["source"].split("/ref_outputs")[0],
            note=_NOTE,
        )
        for quantity, (mine, reference) in pairs.items()
    ]


def _first(counts: list[int], length: int) -> np.ndarray:
    """(len(counts), length) masks with the first ``count`` positions set; the PE only sees the counts."""
    return np.arange(length)[None, :] < np.asarray(counts)[:, None]
