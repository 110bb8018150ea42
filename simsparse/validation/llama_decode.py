"""Llama-3-8B, one token at a time on an A100: bf16 against 4-bit 2:4 weights.

The network ran compiled: rotations, appending to the cache, residual additions and the gate's activation are
part of the kernels beside them, and launches follow each other without the host.
"""

from __future__ import annotations

import numpy as np

from simsparse.ir import Layer
from simsparse.load.catalog import load_hardware
from simsparse.pattern import NM
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.gpu_timing import with_library
from simsparse.validation.networks import Stored, network_s, operators, pair, workload_with

_FUSED = (
    "attention.rotary_key",
    "attention.keys",
    "attention.values",
    "attention.add",
    "mlp.gate.silu",
    "mlp.add",
)
_CACHED = 200  # tokens: a short prompt and the 200 generated ones, halfway


def checks() -> list[Check]:
    """Time per token of both, and the gain."""
    layers = [la for la in workload_with("llama-3-8b-decode", seq=_CACHED).layers if not _fused(la)]
    machine = load_hardware("a100-80gb")
    dense = operators(machine, layers, lambda _: None, "bf16")
    narrow = operators(with_library(machine, "sparse-marlin"), layers, _two_of_four, "fp16")
    rows = [row for row in table("endtoend_measured") if row["model"] == "Llama-3-8B decode bs1"]
    published = tuple(1 / float(row["value"]) for row in rows)
    return pair(
        "Llama-3-8B decode 4-bit 2:4, A100",
        (network_s(dense), network_s(narrow)),
        (published[0], published[1]),
        rows[1]["source"],
    )


def _fused(layer: Layer) -> bool:
    return layer.name.removeprefix("decoder.") in _FUSED


def _two_of_four(layer: Layer) -> Stored:
    mask = np.tile([True, True, False, False], (layer.m, layer.k // 4))
    return Stored(format="nm", mask=mask, pattern=NM(2, 4))
