"""One target per loader: valid files to start from, and how such a file is loaded, weights and all.

Whatever the bytes are, a target ends in a workload or in an error of ours, on lines that can be printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "load"))

import model_files
from hardware_example import EXAMPLE
from onnx_models import model, node

from simsparse.errors import SimsparseError, UsageError
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.files.accelergy_ert import load_ert

MAX_READ = 2**16
_WORKLOAD = """\
name: tiny
source: nobody
parameters: {batch: 1, width: 8}
inputs: {image: [batch, 3, 8, 8]}
blocks:
  residual:
    layers:
      - {op: conv, name: conv, out_channels: width, kernel: 3, padding: 1, then: [relu]}
      - {op: add, name: sum, from: [conv, input]}
layers:
  - {op: conv, name: stem, out_channels: width, kernel: 3, padding: 1}
  - {block: residual, name: "stage.{i}", repeat: 2}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A loader under test: the name its file has, valid contents, and the call."""

    file: str
    seeds: tuple[bytes, ...]
    load: Callable[[Path], None]
    beside: Mapping[str, bytes]
    """Other files of the folder."""

    def run(self, folder: Path, data: bytes) -> str:
        """Load a file of ``data`` in ``folder``; the text of our error, or nothing.

        Raises
        ------
        Exception
            If loading ends in anything else.
        """
        path = folder / self.file
        path.write_bytes(data)
        try:
            self.load(path)
        except SimsparseError as error:
            lines = str(error).split("\n")
            if not all(line.isprintable() and line for line in lines):
                raise AssertionError(f"a message that cannot be printed: {lines!r}") from error
            return str(error)
        return ""

    def prepare(self, folder: Path) -> None:
        """Writes the other files."""
        for name, data in self.beside.items():
            (folder / name).write_bytes(data)


def _load(path: Path, **options: int | str) -> None:
    workload = load_model(path, **options)  # type: ignore[arg-type]
    for layer in workload.layers:
        if layer.name in workload.weights and layer.m * layer.k <= MAX_READ:
            weights = workload.weights[layer.name]
            if weights.shape != (layer.m, layer.k):
                raise AssertionError(f"{layer.name}: {weights.shape} for {layer.m} x {layer.k}")
            nonzero = getattr(workload.weights, "nonzero", None)
            if nonzero is not None and not np.array_equal(nonzero(layer.name), weights != 0):
                raise AssertionError(f"{layer.name}: zeros differ")


def _load_decode(path: Path) -> None:
    _load(path)
    with suppress(UsageError):  # encoders have no such phase
        _load(path, phase="decode", seq=7)


def _target(
    file: str, *seeds: str | bytes, load: Callable[[Path], object] = _load, **beside: bytes
) -> Target:
    data = tuple(seed.encode() if isinstance(seed, str) else seed for seed in seeds)
    files = {name.replace("__", "."): content for name, content in beside.items()}
    return Target(file=file, seeds=data, load=lambda path: load(path) and None, beside=files)


def _checkpoint() -> bytes:
    dense = np.eye(5, 9, dtype=np.float32)
    pair = {"b.weight_orig": np.ones((3, 4), np.float16), "b.weight_mask": np.eye(3, 4, dtype=np.uint8)}
    bits = model_files.bitmask_parts(dense, "c")
    return model_files.safetensors_bytes({"a.weight": np.zeros((2, 3), np.float32), **pair, **bits})


def _onnx() -> bytes:
    nodes = [node("MatMul", ["x", "w"], "y", name="fc"), node("Relu", ["y"], "z", name="relu")]
    proto = model(nodes, {"x": ("batch", 4)}, {"w": np.eye(4, 3, dtype=np.float32)})
    data: bytes = proto.SerializeToString()
    return data


_SMALL = model_files.safetensors_bytes({"a.weight": np.ones((2, 3), np.float32)})
_INDEX = json.dumps({"weight_map": {"a.weight": "one.safetensors"}})
_CONFIGS = (
    model_files.TINY,
    model_files.TINY | {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2},
    model_files.TINY
    | {"model_type": "qwen2_moe", "num_experts": 3, "num_experts_per_tok": 1, "moe_intermediate_size": 4}
    | {"shared_expert_intermediate_size": 4, "mlp_only_layers": [1]},
    {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8, "vocab_size": 9},
    {"model_type": "vit", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    | {"num_attention_heads": 2, "image_size": 8, "patch_size": 4},
    {"model_type": "bert", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    | {"num_attention_heads": 2, "vocab_size": 9, "max_position_embeddings": 9},
)
_SMTX = model_files.smtx_text(np.eye(3, 4, dtype=bool))
_ARRAY = "%%MatrixMarket matrix array integer symmetric\n2 2\n1\n0\n3\n"

TARGETS = {
    "safetensors": _target("model.safetensors", _checkpoint(), _SMALL),
    "index": _target("model.safetensors.index.json", _INDEX, one__safetensors=_SMALL),
    "config": _target("config.json", *map(json.dumps, _CONFIGS), load=_load_decode),
    "folder": _target(
        "model.safetensors",
        model_files.safetensors_bytes(model_files.tiny_llama()),
        load=lambda path: _load(path.parent),
        config__json=json.dumps(model_files.TINY).encode(),
    ),
    "smtx": _target("m.smtx", _SMTX),
    "mtx": _target("m.mtx", model_files.MTX, _ARRAY),
    "scalesim": _target("net.csv", model_files.CONV_CSV, model_files.GEMM_CSV),
    "timeloop": _target("p.yaml", model_files.TIMELOOP_CONV, model_files.TIMELOOP_GEMM),
    "accelergy": _target("ert.yaml", model_files.ERT, model_files.ERT_02, load=load_ert),
    "hardware": _target("machine.yaml", EXAMPLE, load=load_hardware),
    "workload": _target("net.yaml", _WORKLOAD),
    "onnx": _target("model.onnx", _onnx()),
}
