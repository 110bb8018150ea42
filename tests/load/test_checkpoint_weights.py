"""``MODEL@FILE``: which tensor becomes which layer's weights, and what is refused instead of guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_files import save_safetensors, save_shards

from simsparse.errors import FileError, SimsparseError
from simsparse.ir import Layer
from simsparse.load.catalog import load_model
from simsparse.simulate import simulate

TWINS = """\
name: twins
source: made for these tests
inputs: {x: [1, 4, 6, 6]}
layers:
  - {name: stem, op: conv, out_channels: 8, kernel: 3, padding: 1}
  - {name: left, op: conv, out_channels: 8, kernel: 1}
  - {name: right, op: conv, out_channels: 8, kernel: 1}
"""


def twins(folder: Path) -> Path:
    path = folder / "twins.yaml"
    path.write_text(TWINS, "utf-8")
    return path


def shape_of(layer: Layer) -> tuple[int, ...]:
    if layer.conv is None:
        return layer.m, layer.k
    kernel = layer.conv.kernel_height, layer.conv.kernel_width
    return layer.m, layer.k // (kernel[0] * kernel[1]), *kernel


def checkpoint_of(name: str, rename: Any = str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors for every layer with weights, half of them zeros, in the order of the workload."""
    generator = np.random.default_rng(seed)
    layers = [layer for layer in load_model(name).layers if layer.kind.has_weights]
    return {
        rename(layer.name): generator.integers(0, 2, shape_of(layer)).astype(np.float16) for layer in layers
    }


def test_names_decide_where_shapes_agree_whatever_the_order(tmp_path: Path) -> None:
    tensors = checkpoint_of(
        "resnet18", lambda name: f"module.{name}.weight".replace("downsample", "downsample.0")
    )
    tensors = dict(reversed(tensors.items()))
    tensors["module.bn1.weight"] = np.ones(64, np.float16)
    workload = load_model(f"resnet18@{save_safetensors(tmp_path / 'r.safetensors', tensors)}")
    for layer in workload.layers:
        if layer.kind.has_weights:
            inner = layer.name.replace("downsample", "downsample.0")
            expected = tensors[f"module.{inner}.weight"].reshape(layer.m, layer.k)
            assert np.array_equal(workload.weights[layer.name], expected)
    assert workload.source.endswith("weights of r.safetensors")
    assert "21 by name, 0 by shape and order" in workload.notes[-1]


def test_other_names_go_by_shape_and_order(tmp_path: Path) -> None:
    numbers = iter(range(1000))
    tensors = checkpoint_of("mobilenet_v2", lambda _: f"features.{next(numbers)}.weight")
    path = save_safetensors(tmp_path / "m.safetensors", tensors)
    workload = load_model(f"mobilenet_v2@{path}")
    layers = [layer for layer in workload.layers if layer.kind.has_weights]
    for layer, tensor in zip(layers, tensors.values(), strict=True):
        assert np.array_equal(workload.weights[layer.name], tensor.reshape(layer.m, layer.k))
    assert "0 by name, 53 by shape and order" in workload.notes[-1]


def test_pairs_and_shards_are_joined_first(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    stem = generator.standard_normal((8, 4, 3, 3)).astype(np.float32)
    mask = generator.integers(0, 2, stem.shape).astype(np.float32)
    others = {
        f"{side}.weight": np.full((8, 8, 1, 1), value, np.float32)
        for side, value in (("left", 1), ("right", 2))
    }
    index = save_shards(
        tmp_path / "s",
        {"a.safetensors": {"stem.weight_orig": stem, "stem.weight_mask": mask}, "b.safetensors": others},
    )
    workload = load_model(f"{twins(tmp_path)}@{index}")
    assert np.array_equal(workload.weights["stem"], (stem * mask).reshape(8, 36))
    assert workload.weights["right"][0, 0] == 2


def test_zeros_of_the_file_are_the_run_s_pattern(tmp_path: Path) -> None:
    tensors = checkpoint_of("resnet18", lambda name: f"{name}.weight")
    path = save_safetensors(tmp_path / "r.safetensors", tensors)
    run = simulate(f"resnet18@{path}", on="eyeriss-v2")
    kept = sum(float(np.count_nonzero(tensor)) for tensor in tensors.values())
    simulated = sum(layer.weight_density * layer.m * layer.k for layer in run.layers if layer.cost.macs_dense)
    assert simulated == pytest.approx(kept, rel=1e-6)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"a.weight": (8, 4, 3, 3)}, r"layer left: expected 2 tensors of shape 8x8x1x1, got none"),
        (
            {"a.weight": (8, 4, 3, 3), "b.weight": (8, 8, 1, 1)},
            r"layer left: expected 2 tensors of shape 8x8x1x1, got 1 of them .*name the tensor left\.weight",
        ),
        (
            {f"{name}.weight": (8, 8, 1, 1) for name in "abc"} | {"s.weight": (8, 36)},
            r"layer left: expected 2 tensors of shape 8x8x1x1, got 3 of them",
        ),
        ({"s.weight": (8, 9, 2, 2)}, r"layer stem: expected a tensor of shape 8x4x3x3, got none"),
    ],
)
def test_what_would_be_a_guess_is_refused(tmp_path: Path, tensors: Any, expected: str) -> None:
    made = {name: np.ones(shape, np.float32) for name, shape in tensors.items()}
    path = save_safetensors(tmp_path / "m.safetensors", made)
    with pytest.raises(FileError, match=expected) as caught:
        load_model(f"{twins(tmp_path)}@{path}")
    assert all("\n" not in line for line in caught.value.mistakes)


def test_a_name_settles_what_shapes_leave_open(tmp_path: Path) -> None:
    shapes = {"stem.weight": (8, 4, 3, 3), "right.weight": (8, 8, 1, 1), "x.weight": (8, 8, 1, 1)}
    tensors = {name: np.full(shape, rank, np.float32) for rank, (name, shape) in enumerate(shapes.items(), 1)}
    workload = load_model(f"{twins(tmp_path)}@{save_safetensors(tmp_path / 'm.safetensors', tensors)}")
    assert workload.weights["right"][0, 0] == 2
    assert workload.weights["left"][0, 0] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet50@{folder}/none.safetensors", "none.safetensors"),
        ("resnet50@{folder}/model.onnx", "expected a checkpoint"),
        ("bert-base@{folder}/none.safetensors", "expected a model of single layers, got 12 equal layers"),
        ("nonet@{folder}/m.safetensors", "m.safetensors"),
    ],
)
def test_mistakes_name_the_file(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(SimsparseError, match=expected):
        load_model(text.format(folder=tmp_path))


def test_measure_runs_the_weights_of_the_file(tmp_path: Path) -> None:
    from simsparse.measure.measure_source import open_source

    tensors = {"stem.weight": (8, 4, 3, 3), "left.weight": (8, 8, 1, 1), "right.weight": (8, 8, 1, 1)}
    made = {name: np.full(shape, rank, np.float32) for rank, (name, shape) in enumerate(tensors.items(), 1)}
    path = save_safetensors(tmp_path / "m.safetensors", made)
    with open_source(f"{twins(tmp_path)}@{path}") as source:
        import onnx

        stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(source.path).graph.initializer}
    assert {float(values.reshape(-1)[0]) for values in stored.values() if values.ndim == 4} == {1.0, 2.0, 3.0}
