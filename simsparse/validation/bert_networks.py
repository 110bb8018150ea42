"""BERT end to end: V:N:M weights on an RTX 3090, and 2:4 weights on an A100, operator by operator.

Both ran in PyTorch without fusion. VENOM's sparse layers transpose their inputs first; PyTorch's 2:4 layers
transpose their outputs. The 2:4 table's dense side ran under autocast from fp32 weights, its sparse side in
fp16 throughout. There the smallest batch is bound by the host, which issues one operator after the other.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from simsparse.ir import Layer
from simsparse.load.catalog import load_hardware
from simsparse.pattern import NM, VNM
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.eager import eager
from simsparse.validation.gpu_timing import with_library
from simsparse.validation.networks import Stored, network_s, operators, pair, workload_with

DISPATCH_S = 35.5e-6
SPARSE_DISPATCH_S = 53e-6
_HOST_NOTE = (
    "two constants of the host, 35.5 us per operator and 53 us more per sparse tensor, fitted on the two"
    " times at batch 4"
)


def venom_checks() -> list[Check]:
    """BERT-large, batch 32, 512 tokens: every pattern beside the dense run that was timed with it."""
    machine = load_hardware("rtx-3090")
    layers = eager(workload_with("bert-large", batch=32, seq=512).layers)
    dense_s = network_s(operators(machine, layers, _dense, "fp16"))
    sparse = with_library(machine, "spatha-torch")
    published = table("venom_rtx3090_end2end")
    made = []
    for dense, row in zip(published[::2], published[1::2], strict=True):
        rows, group = int(row["V"]), int(row["pattern"].split(":")[1])
        found = operators(sparse, layers, partial(_vnm, rows=rows, group=group), "fp16")
        made += pair(
            f"BERT-large V{rows} {row['pattern']}, RTX 3090",
            (dense_s, network_s(found)),
            (float(dense["mean_ms"]) / 1e3, float(row["mean_ms"]) / 1e3),
            row["source"],
        )
    return made


def semi_structured_checks() -> list[Check]:
    """BERT-base on SQuAD, 384 tokens, at each batch size."""
    machine = load_hardware("a100-80gb")
    sparse = with_library(machine, "pytorch-cutlass")
    made = []
    for row in table("bert_base_24"):
        layers = workload_with("bert-base", batch=int(row["batch"]), seq=int(row["sequence"])).layers
        dense = operators(machine, eager(layers, autocast=True), _dense, "fp16")
        pruned = operators(sparse, eager(layers), _two_of_four, "fp16")
        made += pair(
            f"BERT-base 2:4 batch {row['batch']}, A100",
            (network_s(dense, DISPATCH_S), network_s(pruned, DISPATCH_S, SPARSE_DISPATCH_S)),
            (float(row["dense_ms"]) / 1e3, float(row["sparse_ms"]) / 1e3),
            row["source"],
            note=_HOST_NOTE,
        )
    return made


def _dense(_layer: Layer) -> None:
    return None


def _vnm(layer: Layer, rows: int, group: int) -> Stored | None:
    """The mask of the published runs: columns 0 and 2 of every group, the same in all rows."""
    if not layer.name.startswith("encoder."):
        return None
    mask = np.zeros((layer.m, layer.k), dtype=np.bool_)
    mask[:, 0::group] = mask[:, 2::group] = True
    return Stored(format="vnm", mask=mask, pattern=VNM(rows, 2, group))


def _two_of_four(layer: Layer) -> Stored | None:
    if not layer.name.startswith("encoder."):
        return None
    mask = np.tile([True, True, False, False], (layer.m, layer.k // 4))
    return Stored(format="nm", mask=mask, pattern=NM(2, 4))
