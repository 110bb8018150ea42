"""Eyeriss v2 PE: cycles of MobileNet layers, exactly, from the published nonzeros of each channel."""

from __future__ import annotations

import numpy as np

from simsparse.ir import ConvShape, conv_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import document


def checks() -> list[Check]:
    """Simulated against ground-truth cycles; the tolerance is zero."""
    published = document("eyeriss_v2_pe_channel_nnz")
    hardware = load_hardware("eyeriss-v2-pe")
    found = []
    for name, row in published["layers"].items():
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
        layer = conv_layer(name, conv, row["M"])
        weights = _first(row["weight_nnz_per_channel"], row["M"]).T
        inputs = _first(row["act_nnz_per_channel"], row["P"] * row["Q"])
        result = simulate_layer(layer, hardware, np.ascontiguousarray(weights), inputs)
        found.append(
            Check(
                target="eyeriss-v2-pe",
                row=name,
                quantity="cycles",
                ours=result.cycles,
                published=float(row["ground_truth_cycles"]),
                unit="cycles",
                tolerance=0.0,
                kind="hardware",
                source=published["source"],
            )
        )
    return found


def _first(counts: list[int], length: int) -> np.ndarray:
    """(len(counts), length) masks with the first ``count`` positions set; the PE only sees the counts."""
    return np.arange(length)[None, :] < np.asarray(counts)[:, None]
