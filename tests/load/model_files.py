"""Small files as other tools write them, made by hand: bytes and text for the tests of their loaders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

CODES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3",
    np.dtype(ml_dtypes.float8_e5m2): "F8_E5M2",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint8): "U8",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.bool_): "BOOL",
}


def safetensors_bytes(tensors: Mapping[str, Any], *, header: Mapping[str, Any] | None = None) -> bytes:
    """A safetensors file of arrays; ``header`` replaces or adds entries of the header."""
    entries: dict[str, Any] = {}
    data = b""
    for name, values in tensors.items():
        array = np.asarray(values)
        raw = array.tobytes()
        entries[name] = {
            "dtype": CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps({"__metadata__": {"format": "pt"}} | entries | dict(header or {})).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def save_safetensors(path: Path, tensors: Mapping[str, Any], **options: Any) -> Path:
    """``safetensors_bytes`` in a file."""
    path.write_bytes(safetensors_bytes(tensors, **options))
    return path


def save_shards(folder: Path, shards: Mapping[str, Mapping[str, Any]]) -> Path:
    """Shards with their index, whose path is returned."""
    folder.mkdir(exist_ok=True)
    for name, tensors in shards.items():
        save_safetensors(folder / name, tensors)
    listed = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": listed}), "utf-8")
    return index


def save_config(path: Path, **entries: Any) -> Path:
    """A ``config.json``."""
    path.write_text(json.dumps(entries), "utf-8")
    return path


def bitmask_parts(dense: Any, name: str, *, two_of_four: bool = False) -> dict[str, Any]:
    """A matrix in the legacy layouts of compressed-tensors: sparse-bitmask, or sparse-24-bitmask."""
    kept = dense != 0
    counts = kept.sum(axis=1)
    parts = {
        f"{name}.shape": np.array(dense.shape, np.int64),
        f"{name}.compressed": dense[kept],
        f"{name}.bitmask": np.packbits(kept, axis=1, bitorder="little"),
    }
    if two_of_four:
        parts[f"{name}.shape"] = parts[f"{name}.shape"].reshape(-1, 1)
        parts[f"{name}.compressed"] = dense[kept].reshape(dense.shape[0], -1)
    else:
        parts[f"{name}.row_offsets"] = (np.cumsum(counts) - counts).astype(np.int64)
    return parts


def smtx_text(mask: Any) -> str:
    """DLMC's three lines."""
    rows, columns = mask.shape
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    numbers = (" ".join(map(str, values)) for values in (starts, np.nonzero(mask)[1]))
    return f"{rows}, {columns}, {int(mask.sum())}\n" + "\n".join(numbers) + "\n"


TINY = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 16,
    "max_position_embeddings": 64,
}
TINY_WEIGHTS = {
    "self_attn.q_proj": (8, 8),
    "self_attn.k_proj": (4, 8),
    "self_attn.v_proj": (4, 8),
    "self_attn.o_proj": (8, 8),
    "mlp.gate_proj": (12, 8),
    "mlp.up_proj": (12, 8),
    "mlp.down_proj": (8, 12),
}


def tiny_llama(seed: int = 0) -> dict[str, Any]:
    """Tensors that fit ``TINY``."""
    rng = np.random.default_rng(seed)
    shapes = {
        f"model.layers.{index}.{name}.weight": shape
        for index in range(2)
        for name, shape in TINY_WEIGHTS.items()
    }
    shapes |= {"model.embed_tokens.weight": (16, 8), "lm_head.weight": (16, 8)}
    return {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


MTX = "%%MatrixMarket matrix coordinate real general\n% a comment\n3 4 3\n1 1 2.5\n2 3 -1\n3 4 1e-3\n"
CONV_CSV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
    " Sparsity,\n"
    "conv1, 9, 8, 3, 3, 4, 8, 2, 2:4,\n"
    "DPconv, 7, 7, 3, 3, 6, 1, 1,\n"
    "fc, 1, 1, 1, 1, 32, 10, 1,\n"
)
GEMM_CSV = "Layer, M, N, K, Sparsity\nqkv, 16, 24, 32, 1:4,\nout, 16, 32, 24,\n"
TIMELOOP_CONV = """\
problem:
  version: '0.4'
  shape:
    name: CNN
    dimensions: [C, M, R, S, N, P, Q]
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Hstride, default: 1}
    - {name: Wdilation, default: 1}
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - name: Inputs
      projection: [[[N]], [[C]], [[R, Wdilation], [P, Wstride]], [[S], [Q, Hstride]]]
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: true}
  instance: {C: 3, M: 8, R: 3, S: 2, N: 2, P: 5, Q: 6, Wstride: 2, Wdilation: 3, densities: {}}
"""
TIMELOOP_GEMM = """\
problem:
  shape:
    name: GEMM
    dimensions: [M, N, K]
    data-spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[N]], [[K]]]}
    - {name: Z, projection: [[[M]], [[N]]], read-write: true}
  instance: {M: 4, N: 5, K: 6, densities: {A: {distribution: fixed-structured, density: 0.5}}}
"""
ERT = """\
ERT:
  version: '0.4'
  tables:
  - name: pe.buffer[1..16]
    actions:
    - {name: read, arguments: {global_cycle_seconds: 1e-09}, energy: 0.5}
    - {name: write, arguments: {address_delta: 0, data_delta: 1}, energy: 0.75}
    - {name: write, arguments: {address_delta: 1, data_delta: 1}, energy: 1}
  - name: pe.mac
    actions:
    - {name: compute, arguments: {}, energy: 0.25}
"""
ERT_02 = """\
ERT:
  tables:
    pe.buffer:
      read: {arguments: null, energy: 0.5}
      write:
      - {arguments: {address_delta: 0, data_delta: 1}, energy: 0.75}
      - {arguments: {address_delta: 1, data_delta: 1}, energy: 1}
    pe.mac: {compute: {arguments: null, energy: 0.25}}
"""
