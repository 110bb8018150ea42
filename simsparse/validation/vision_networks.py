"""MobileNetV1 with sparse 1x1 convolutions on a V100, and ViT-B/16 with block-sparse weights on an A100.

MobileNet ran with batch norms folded, biases and activations fused; a speed-up is between networks of equal
accuracy, so its two sides differ in width. ViT ran in fp32, blocks of 32 x 32 in the weights of its MLPs.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from simsparse.ir import Layer, LayerKind
from simsparse.load.catalog import load_hardware
from simsparse.pattern import Block
from simsparse.validation.check import Check
from simsparse.validation.data_files import table
from simsparse.validation.masks import fixed_count
from simsparse.validation.networks import Stored, check, network_s, operators, workload_with

SEED = 2020
_EQUAL_ACCURACY = {"1.3": "1", "1.8": "1.4"}
"""Width of the sparse network → that of the dense one beside it in the published table."""
_BREAK_EVEN = 0.82
_BLOCK = 32


def mobilenet_checks() -> list[Check]:
    """Frames per second of five networks, and the two speed-ups at equal accuracy."""
    ours: dict[tuple[str, float], float] = {}
    published: dict[tuple[str, float], float] = {}
    made = []
    for row in _rows("MobileNetV1", "V100"):
        key = row["config"].split(",")[0].removeprefix("width "), float(row["sparsity"])
        ours[key], published[key] = _frames_per_s(*key), float(row["value"])
        name = f"MobileNetV1 width {key[0]}{' 90 % sparse' if key[1] else ''}, V100"
        made.append(check(name, "frames/s", ours[key], published[key], row["source"], unit="1/s"))
    for wide, narrow in _EQUAL_ACCURACY.items():
        sides = (wide, 0.9), (narrow, 0.0)
        gain, measured = (found[sides[0]] / found[sides[1]] for found in (ours, published))
        name = f"MobileNetV1 width {wide} sparse over {narrow} dense, V100"
        made.append(check(name, "speed-up", gain, measured, made[0].source))
    return made


def vit_checks() -> list[Check]:
    """The published gain at 90 %, and none where it breaks even."""
    machine = load_hardware("a100-80gb")
    layers = workload_with("vit-b-16", batch=256).layers
    row = _rows("ViT-B/16 batch 256 float32, BSR MLP weights", "A100")[0]
    dense = network_s(operators(machine, layers, lambda _: None, "fp32"))
    made = []
    for sparsity, gain in ((float(row["sparsity"]), float(row["value"])), (_BREAK_EVEN, 1.0)):
        found = operators(machine, layers, partial(_blocks, sparsity=sparsity), "fp32")
        name = f"ViT-B/16 {_BLOCK}x{_BLOCK} blocks at {sparsity:g}, A100"
        made.append(check(name, "speed-up", dense / network_s(found), gain, row["source"]))
    return made


def _rows(model: str, hardware: str) -> list[dict[str, str]]:
    found = table("endtoend_measured")
    return [row for row in found if row["model"] == model and row["hardware"] == hardware]


def _frames_per_s(width: str, sparsity: float) -> float:
    workload = workload_with("mobilenet_v1", width=round(100 * float(width)))
    layers = [layer for layer in workload.layers if layer.kind is not LayerKind.ACTIVATION]

    def stored(layer: Layer) -> Stored | None:
        if not sparsity or not layer.name.endswith("pointwise"):
            return None
        kept = fixed_count(np.random.default_rng(SEED), (layer.m, layer.k), 1 - sparsity)
        return Stored(format="csr", mask=kept)

    return 1 / network_s(operators(load_hardware("v100"), layers, stored, "fp32"))


def _blocks(layer: Layer, sparsity: float) -> Stored | None:
    if ".mlp." not in layer.name:
        return None
    shape = layer.m // _BLOCK, layer.k // _BLOCK
    kept = fixed_count(np.random.default_rng(SEED), shape, 1 - sparsity)
    mask = np.repeat(np.repeat(kept, _BLOCK, axis=0), _BLOCK, axis=1)
    return Stored(format="bsr", mask=mask, pattern=Block(_BLOCK, _BLOCK, sparsity))
