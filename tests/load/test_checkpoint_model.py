"""Checkpoints without a network: matrices become layers, pairs become weights, the rest is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model_files import bitmask_parts, save_safetensors

from simsparse.errors import FileError, UnsupportedError, UsageError
from simsparse.load.catalog import load_model
from simsparse.load.files.torch_file import read_torch
from simsparse.pattern import NM
from simsparse.pruning.masks import prune_matrix

VALUES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=20),
    elements=st.sampled_from([0.0, 0.0, 1.0, -2.5]),
)


def test_each_matrix_is_a_layer_and_the_rest_is_named(tmp_path: Path) -> None:
    tensors = {
        "embed_tokens.weight": np.ones((10, 4), np.float32),
        "fc1.weight": np.ones((6, 4), np.float16),
        "fc1.weight_scale": np.ones((6, 2), np.float32),
        "fc1.bias": np.ones(6, np.float32),
        "conv.weight": np.ones((8, 3, 3, 3), np.float32),
        "norm.weight": np.ones((1, 4), np.float32),
        "fc2.weight": np.zeros((3, 6), np.float32),
    }
    workload = load_model(save_safetensors(tmp_path / "m.safetensors", tensors), batch=2, seq=5)
    assert [(layer.name, layer.m, layer.k, layer.n) for layer in workload.layers] == [
        ("fc1", 6, 4, 10),
        ("fc2", 3, 6, 10),
    ]
    assert workload.batch == 2
    assert [part.name for part in workload.unsupported] == ["conv.weight"]
    assert "image size is not in the file" in workload.unsupported[0].reason
    assert "1 tables are looked up, not multiplied, and left out: embed_tokens.weight" in workload.notes
    assert not workload.weights.nonzero("fc2").any()  # type: ignore[attr-defined]
    assumed = load_model(tmp_path / "m.safetensors")
    assert assumed.layers[0].n == 128
    assert "meets 128 tokens (assumed; --seq sets it)" in assumed.notes[0]


def test_nothing_but_a_convolution_is_refused_by_name(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "m.safetensors", {"stem.weight": np.ones((8, 3, 3, 3), np.float32)})
    with pytest.raises(UnsupportedError, match=r"got none; stem\.weight: weights 8x3x3x3 of a convolution"):
        load_model(path)


def weights_of(tmp_path: Path, tensors: dict[str, Any]) -> Any:
    return load_model(save_safetensors(tmp_path / "pairs.safetensors", tensors)).weights


@given(dense=VALUES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_pruning_pair_is_the_product(
    tmp_path_factory: pytest.TempPathFactory, dense: Any, data: st.DataObject
) -> None:
    mask = data.draw(hnp.arrays(np.float32, dense.shape, elements=st.sampled_from([0.0, 1.0])))
    tensors = {"fc.weight_orig": dense, "fc.weight_mask": mask, "fc.bias": np.ones(3, np.float32)}
    weights = weights_of(tmp_path_factory.getbasetemp(), tensors)
    assert list(weights) == ["fc"]
    assert np.array_equal(weights["fc"], dense * mask)
    assert np.array_equal(weights.nonzero("fc"), dense * mask != 0)


@given(
    dense=VALUES, kind=st.sampled_from([np.float32, np.float16]), name=st.sampled_from(["fc", "fc.weight"])
)
@settings(max_examples=40, deadline=None)
def test_a_bitmask_is_the_dense_matrix(
    tmp_path_factory: pytest.TempPathFactory, dense: Any, kind: Any, name: str
) -> None:
    parts = bitmask_parts(dense.astype(kind), name)
    weights = weights_of(tmp_path_factory.getbasetemp(), parts)
    assert np.array_equal(weights["fc"], dense)
    assert np.array_equal(weights.nonzero("fc"), dense != 0)


def test_two_of_four_in_bits_may_hold_stored_zeros(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((6, 16))
    dense = np.where(prune_matrix(scores, NM(2, 4)), scores + 1, 0).astype(np.float32)
    parts = bitmask_parts(dense, "fc", two_of_four=True)
    parts["fc.compressed"][0, 0] = 0
    expected = dense.copy()
    expected[0, np.nonzero(dense[0])[0][0]] = 0
    weights = weights_of(tmp_path, parts)
    assert np.array_equal(weights["fc"], expected)
    assert np.array_equal(weights.nonzero("fc"), expected != 0)


DENSE = np.array([[1, 0, 2, 0, 0, 0, 0, 0, 3], [0] * 9], np.float32)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("shape", np.array([2, 90], np.int64), r"fc\.bitmask: expected bytes of shape 2x12, got 2x2"),
        ("shape", np.array([2**40, 2**40], np.int64), r"fc\.bitmask: expected bytes of shape"),
        ("shape", np.array([-2, 9], np.int64), r"fc\.bitmask: expected bytes of shape"),
        ("shape", np.array([2, 9, 1], np.int64), r"fc\.shape: expected two sizes, got 3"),
        ("shape", np.array([2, 9], np.float32), r"fc\.shape: expected whole numbers, got float32"),
        ("row_offsets", np.array([0], np.int64), r"fc\.row_offsets: expected 2 offsets, got 1"),
        ("row_offsets", np.array([0, 2], np.int64), r"expected row offsets that follow from the bits"),
        ("compressed", np.ones(9, np.float32), r"expected 9 bits set, one for each stored value, got 3"),
    ],
)
def test_a_bitmask_that_lies(part: str, values: Any, message: str, tmp_path: Path) -> None:
    parts = bitmask_parts(DENSE, "fc") | {f"fc.{part}": values}
    with pytest.raises(FileError, match=message):
        weights_of(tmp_path, parts).nonzero("fc")


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    pair = {"fc.weight_orig": np.ones((2, 2), np.float32), "fc.weight_mask": np.ones((2, 3), np.float32)}
    with pytest.raises(FileError, match=r"fc\.weight_mask: expected shape 2x2, got 2x3"):
        weights_of(tmp_path, pair)
    lonely = {name: part for name, part in bitmask_parts(DENSE, "fc").items() if not name.endswith("shape")}
    with pytest.raises(FileError, match=r"fc\.shape: expected the sizes of the matrix beside compressed"):
        weights_of(tmp_path, lonely)


def test_without_torch_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simsparse.load.files.torch_file.find_spec", lambda _name: None)
    path = tmp_path / "m.pt"
    path.write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    with pytest.raises(UsageError, match=r'expected PyTorch.*pip install "simsparse\[torch\]"'):
        load_model(path)


def test_torch_reads_tensors_only(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {"fc.weight": torch.eye(3).to(torch.bfloat16), "more": {"x.weight": torch.ones(2, 2)}}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "m.pt")
    found = read_torch(tmp_path / "m.pt")
    assert set(found) == {"fc.weight", "more.x.weight"}
    assert np.array_equal(found["fc.weight"].nonzero(), np.eye(3, dtype=bool))
    (tmp_path / "bad.pt").write_bytes(b"cos\nsystem\n(S'touch here'\ntR.")
    with pytest.raises(FileError, match="expected a file of tensors only"):
        read_torch(tmp_path / "bad.pt")
