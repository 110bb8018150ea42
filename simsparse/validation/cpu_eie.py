"""Fully connected layers of one column on a Core i7-5930K, dense with MKL gemv and sparse with MKL csrmv.

The sparse rows all take 0.9 ns per weight whatever their size, so one core ran them, and the machine is taken
with one. Dense rows read 12 to 25 GB/s without a pattern in their size (the same 1000 x 4096 matrix takes
1135 and 774 us), so a model that gives one rate to all cannot meet every row.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from simsparse.hardware import HardwareModel
from simsparse.ir import gemm_layer
from simsparse.load.catalog import load_hardware
from simsparse.simulate import simulate_layer
from simsparse.validation.check import Check
from simsparse.validation.data_files import table

_SEED = 2016
_TOLERANCE = 0.30
_TIE = 0.05
_SHORT = {
    ("AlexNet-FC6", "dense"): "read at 20 GB/s from DRAM where other dense rows of the table read at 12",
    (
        "VGG16-FC8",
        "dense",
    ): "AlexNet-FC8, of the same size, took 1.47 times as long in the same table",
    ("NT-LSTM", "dense"): "12 MB partly from a 15 MB L3: how much stays there depends on what ran before",
}


def checks() -> list[Check]:
    """Dense and sparse times within 30 %, and which of the two is faster where they are 5 % apart."""
    machine = dataclasses.replace(load_hardware("core-i7-5930k"), units=1)
    return [check for published in table("eie_table4_cpu") for check in _row(machine, published)]


def _row(machine: HardwareModel, published: dict[str, str]) -> list[Check]:
    m, k = int(published["outputs"]), int(published["inputs"])
    mask = np.random.default_rng(_SEED).random((m, k)) < float(published["weight_density"])
    layer = gemm_layer(published["layer"], m, k, 1)
    ours = {
        "dense": simulate_layer(layer, machine, format="dense").time_s * 1e6,
        "sparse": simulate_layer(layer, machine, mask, format="csr").time_s * 1e6,
    }
    theirs = {kind: float(published[f"{kind}_us"]) for kind in ours}
    rows = [
        _check(published, f"{kind} time", ours[kind], theirs[kind], "us", _TOLERANCE, _short(published, kind))
        for kind in ours
    ]
    if abs(theirs["dense"] / theirs["sparse"] - 1) < _TIE:
        return rows
    faster = float(ours["sparse"] < ours["dense"]), float(theirs["sparse"] < theirs["dense"])
    return [*rows, _check(published, "sparse is the faster", *faster, "", 0.0, "", relative=False)]


def _short(published: dict[str, str], kind: str) -> str:
    return _SHORT.get((published["layer"], kind), "")


def _check(
    published: dict[str, str],
    quantity: str,
    ours: float,
    theirs: float,
    unit: str,
    tolerance: float,
    known_short: str,
    *,
    relative: bool = True,
) -> Check:
    return Check(
        target="cpu-eie",
        row=published["layer"],
        quantity=quantity,
        ours=ours,
        published=theirs,
        unit=unit,
        tolerance=tolerance,
        kind="hardware",
        source=published["source"],
        relative=relative,
        known_short=known_short,
        note="two constants of the machine were fitted to the medians of this table",
    )
