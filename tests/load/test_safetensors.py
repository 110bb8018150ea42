"""Checkpoints: what the format's own library writes is read bit for bit, and files that lie are refused."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model_files import safetensors_bytes, save_safetensors, save_shards
from safetensors.numpy import save_file

from simsparse.errors import FileError
from simsparse.load.catalog import load_model
from simsparse.load.files.checkpoint_files import read_shards
from simsparse.load.files.safetensors_file import read_safetensors
from simsparse.load.files.tensor_source import FileTensor, nonzero_mask

PLAIN = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.uint8]
SMALL = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
arrays = st.sampled_from(PLAIN).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=4, max_side=5))
)


@given(tensors=st.dictionaries(st.text("abc.é", min_size=1, max_size=6), arrays, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_files_of_the_library_are_read_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "library.safetensors"
    save_file(tensors, path)
    found = read_safetensors(path)
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        read = found[name].values()
        assert read.dtype == values.dtype
        assert read.shape == values.shape
        assert read.tobytes() == values.tobytes()


@given(st.sampled_from([*SMALL, *PLAIN]), st.binary(min_size=8, max_size=64))
@settings(max_examples=120, deadline=None)
def test_nonzero_agrees_with_float64(kind: Any, raw: bytes) -> None:
    """Minus zero is zero, a NaN is not, and single bits count."""
    values = np.frombuffer(raw[: len(raw) // 8 * 8], kind)
    with np.errstate(invalid="ignore"):
        expected = values.astype(np.float64) != 0
    assert np.array_equal(nonzero_mask(values), expected)


@pytest.mark.parametrize("kind", SMALL)
def test_small_floats_become_float32(kind: Any, tmp_path: Path) -> None:
    values = np.arange(-6, 6).reshape(3, 4).astype(kind)
    workload = load_model(save_safetensors(tmp_path / "m.safetensors", {"fc.weight": values}))
    weights = workload.weights["fc"]
    assert weights.dtype == np.float32
    assert np.array_equal(weights, values.astype(np.float32))


def test_tensors_off_their_alignment_are_read(tmp_path: Path) -> None:
    tensors = {"a.weight": np.ones((3, 3), np.int8), "b.weight": np.full((2, 2), 7, np.float32)}
    workload = load_model(save_safetensors(tmp_path / "m.safetensors", tensors))
    assert workload.weights["b"].flags.aligned
    assert workload.weights["b"].sum() == 28


TWO = {"a.weight": np.ones((2, 2), np.float32), "b.weight": np.ones((2, 2), np.float32)}


def entry(dtype: Any = "F32", shape: Any = (2, 2), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"a.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            entry(offsets=[16, 32]),
            "tensor b.weight: expected bytes of its own, got bytes of tensor a.weight too",
        ),
        (entry(offsets=[0, 12]), "expected 16 bytes for its shape, got 12"),
        (entry(shape=[2, 3]), "expected 24 bytes for its shape, got 16"),
        (entry(offsets=[32, 48]), "expected data up to byte 48, got 32 bytes (the file is cut short"),
        (entry(offsets=[16, 0]), "expected two offsets, begin <= end"),
        (entry(offsets=[-16, 0]), "expected two offsets"),
        (entry(dtype="F128"), "expected an element type of F64, F32, F16, I64"),
        (entry(dtype=["F32"]), "expected an element type"),
        (entry(shape=[-2, -2]), "expected at most 8 sizes >= 0"),
        (entry(shape=[2.0, 2]), "expected at most 8 sizes >= 0"),
        (entry(shape=[True, 4]), "expected at most 8 sizes >= 0"),
        (entry(shape=[2**40, 2**40], offsets=[0, 16]), "bytes for its shape, got 16"),
        ({"a.weight": 3}, "expected dtype, shape and data_offsets, got 3"),
    ],
)
def test_a_header_that_lies(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "bad.safetensors", TWO, header=changes)
    with pytest.raises(FileError) as raised:
        read_safetensors(path)
    assert message in str(raised.value)
    assert "bad.safetensors: tensor " in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes whose first eight say 0"),
        (b"\xff" * 16, "expected a safetensors file, which starts with the length of its header"),
        ((10**7).to_bytes(8, "little") + b"{}", "10 bytes whose first eight say 10,000,000"),
        ((2).to_bytes(8, "little") + b"{}", "expected tensors, got none"),
        ((2).to_bytes(8, "little") + b"[]", "header: expected a JSON object, got a list"),
        ((2).to_bytes(8, "little") + b"\xff\xfe", "header: expected JSON, got other bytes than UTF-8"),
        ((9).to_bytes(8, "little") + b'{"a":NaN}', "header: expected JSON, got the number NaN"),
        ((13).to_bytes(8, "little") + b'{"a":1,"a":2}', 'header: expected JSON, got the key "a" twice'),
        ((8000).to_bytes(8, "little") + b"[" * 8000, "header: expected JSON"),
    ],
)
def test_no_safetensors_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError) as raised:
        read_safetensors(path)
    assert message in str(raised.value)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    wrong = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 99]} for name in TWO}
    with pytest.raises(FileError) as raised:
        read_safetensors(save_safetensors(tmp_path / "bad.safetensors", TWO, header=wrong))
    assert len(raised.value.mistakes) == 2


def test_a_file_that_shrinks_after_it_was_opened(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "m.safetensors", TWO)
    found = read_safetensors(path)
    os.truncate(path, path.stat().st_size - 4)
    assert found["a.weight"].values().sum() == 4
    with pytest.raises(FileError, match=r"tensor b\.weight: expected 16 bytes, got a file that has changed"):
        found["b.weight"].values()


def test_shards_with_their_index(tmp_path: Path) -> None:
    index = save_shards(
        tmp_path / "m",
        {"1.safetensors": {"b.weight": TWO["a.weight"] * 2}, "2.safetensors": {"a.weight": TWO["a.weight"]}},
    )
    found = read_shards(index)
    assert list(found) == ["b.weight", "a.weight"]
    assert found["b.weight"].values().max() == 2
    assert [layer.name for layer in load_model(index).layers] == ["b", "a"]
    assert load_model(index.parent).layers == load_model(index).layers


def broken_index(tmp_path: Path, shard: Any) -> str:
    folder = tmp_path / "m"
    index = save_shards(folder, {"1.safetensors": {"a.weight": TWO["a.weight"]}})
    save_safetensors(tmp_path / "outside.safetensors", TWO)
    if not (folder / "folder.safetensors").exists():
        (folder / "folder.safetensors").mkdir()
        (folder / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    (folder / "short.safetensors").write_bytes(safetensors_bytes(TWO)[:-3])
    index.write_text(json.dumps({"weight_map": {"a.weight": shard}}), "utf-8")
    with pytest.raises(FileError) as raised:
        read_shards(index)
    assert str(raised.value).isprintable()
    return str(raised.value)


def test_shards_are_refused_by_name(tmp_path: Path) -> None:
    assert 'expected shard file "gone.safetensors", got none' in broken_index(tmp_path, "gone.safetensors")
    assert "short.safetensors: tensor b.weight" in broken_index(tmp_path, "short.safetensors")
    assert '"../outside.safetensors" (put the shards beside' in broken_index(
        tmp_path, "../outside.safetensors"
    )
    absolute = str(tmp_path / "outside.safetensors")
    assert "inside the index's folder" in broken_index(tmp_path, absolute)
    assert '"link.safetensors", a link out of it' in broken_index(tmp_path, "link.safetensors")
    assert "expected a regular file" in broken_index(tmp_path, "folder.safetensors")
    assert "shards that end in .safetensors" in broken_index(tmp_path, "weights.pickle")
    assert "expected the name of a shard, got 3" in broken_index(tmp_path, 3)
    assert "inside the index's folder" in broken_index(tmp_path, "x\0y.safetensors")


def test_a_shard_of_another_model(tmp_path: Path) -> None:
    index = save_shards(tmp_path / "m", {"1.safetensors": {"a.weight": TWO["a.weight"]}})
    save_safetensors(tmp_path / "m" / "1.safetensors", {"other.weight": TWO["a.weight"]})
    with pytest.raises(
        FileError, match=r"tensor a\.weight: expected it in 1\.safetensors, got no such tensor"
    ):
        read_shards(index)
    index.write_text('{"weight_map": {}}', "utf-8")
    with pytest.raises(FileError, match="weight_map: expected tensors by shard, got a mapping"):
        read_shards(index)


def test_peak_memory_is_below_twice_the_largest_layer(tmp_path: Path) -> None:
    """Ten layers, masks and patterns of all of them; what is mapped is not copied."""
    from simsparse.pruning.detect import detect_pattern
    from simsparse.pruning.prune import prune

    rng = np.random.default_rng(0)
    layer = np.where(rng.random((512, 1024)) < 0.5, 0, 1).astype(np.float32)
    path = save_safetensors(tmp_path / "m.safetensors", {f"{i}.weight": layer for i in range(10)})
    detect_pattern(layer[:64] != 0)
    tracemalloc.start()
    workload = load_model(path)
    pruned = prune(workload)
    for item in workload.layers:
        mask = pruned.mask(item)
        assert mask is not None
        assert str(detect_pattern(mask)).startswith("unstructured:0.5")
        assert workload.weights[item.name].shape == (512, 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * layer.nbytes


def test_an_empty_tensor_has_no_bytes(tmp_path: Path) -> None:
    tensor = FileTensor(name="e", shape=(0, 4), dtype=np.dtype("f4"), path=tmp_path / "none", offset=0)
    assert tensor.values().shape == (0, 4)
    assert tensor.nonzero().size == 0
