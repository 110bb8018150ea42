"""Zeros of inputs that a run showed are the zeros that a machine meets."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from simsparse.cli import run as command_line
from simsparse.dataflows.task import ActivationOperand
from simsparse.errors import FileError, ShapeError, SimsparseError, UsageError
from simsparse.ir import ConvShape, Layer, LayerKind, Workload, conv_layer, gemm_layer
from simsparse.load.activations_npz import load_activations
from simsparse.load.catalog import load_hardware, names
from simsparse.model_run import DenseResults, run_layers
from simsparse.pattern import Unstructured
from simsparse.pruning.input_masks import InputMask, misfit
from simsparse.pruning.prune import prune
from simsparse.results import LayerResult, Run
from simsparse.simulate import model_run, simulate, simulate_layer, with_activations

Mask = NDArray[np.bool_]
TWO_SIDED = ("dstc", "eyeriss-v2-pe", "scnn", "sigma", "sparten")
CONV = conv_layer(
    "conv",
    ConvShape(
        batch=2,
        in_channels=8,
        in_height=7,
        in_width=6,
        kernel_height=3,
        kernel_width=3,
        out_height=4,
        out_width=3,
        stride=(2, 2),
        padding=(1, 1, 1, 1),
    ),
    16,
    groups=2,
)
FC = gemm_layer("fc", 32, 48, 6)
NET = Workload(name="net", layers=(CONV, FC), source="a test", batch=2)


def drawn(density: float, seed: int = 0) -> dict[str, Mask]:
    """Masks of the inputs of ``NET``, as its operators get them."""
    rng = np.random.default_rng(seed)
    return {"conv": rng.random((2, 8, 7, 6)) < density, "fc": rng.random((2, 3, 48)) < density}


def figures(result: LayerResult) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(result).items() if key != "name"}


def layers(run: Run) -> list[dict[str, Any]]:
    return [figures(layer) for layer in (*run.layers, *run.baseline_layers)]


@pytest.mark.parametrize("machine", names("hardware"))
def test_a_mask_without_zeros_is_density_one(machine: str) -> None:
    full = {name: np.ones_like(mask) for name, mask in drawn(1.0).items()}
    plain = simulate(NET, on=machine, prune="unstructured:0.5")
    masked = simulate(NET, on=machine, prune="unstructured:0.5", activations=full)
    assert layers(masked) == layers(plain)
    assert "activation zeros are those captured" in masked.approximations


@pytest.mark.parametrize("machine", TWO_SIDED)
def test_a_mask_by_hand_says_the_same_layer_by_layer(machine: str) -> None:
    masks = drawn(0.4)
    pruned = prune(NET, Unstructured(0.5))
    run = simulate(NET, on=machine, prune="unstructured:0.5", activations=masks)
    by_hand = {"conv": masks["conv"], "fc": masks["fc"].reshape(6, 48).T}
    assert len(run.layers) == 2
    for layer, result in zip(NET.layers, run.layers, strict=True):
        alone = simulate_layer(layer, machine, pruned.mask(layer), by_hand[layer.name])
        assert figures(alone) == figures(result)
        assert result.activation_density == masks[layer.name].mean()


@pytest.mark.parametrize("machine", TWO_SIDED)
def test_seeded_zeros_given_as_masks_change_nothing(machine: str) -> None:
    """Captured and seeded inputs of the same density differ in where the zeros are, and in nothing else."""
    options = {"on": machine, "prune": "unstructured:0.5", "seed": 3}
    seeded = simulate(NET, activation_density=0.5, **options)  # type: ignore[arg-type]
    pruned = prune(NET, Unstructured(0.5), seed=3)
    found: dict[str, Mask] = {}
    settings_ = model_run(
        pruned,
        load_hardware(machine),
        activation_density=0.5,
        observe=lambda chosen: found.update({chosen.layer.name: chosen.task.activations.tensor}),  # type: ignore[union-attr]
    )
    run_layers(settings_)
    captured = simulate(NET, activations={"conv": found["conv"], "fc": found["fc"].T}, **options)  # type: ignore[arg-type]
    assert layers(captured) == layers(seeded)
    rows = np.zeros_like(found["fc"].T)
    rows[: len(rows) // 2] = True
    moved = simulate(NET, activations={"conv": found["conv"], "fc": rows}, **options)  # type: ignore[arg-type]
    assert moved.layers[1].activation_density == seeded.layers[1].activation_density == 0.5
    assert layers(moved) != layers(seeded)


@given(density=st.floats(0, 1), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_the_input_and_its_im2col_matrix_meet_the_same_weights(density: float, seed: int) -> None:
    tensor = drawn(density, seed)["conv"]
    inputs = ActivationOperand(CONV, tensor=tensor)
    assert inputs.is_dense == tensor.all()
    if not inputs.is_dense:
        gathered = np.concatenate([inputs.columns(group).T for group in range(2)])
        by_matrix = ActivationOperand(CONV, mask=np.ascontiguousarray(gathered))
        np.testing.assert_array_equal(inputs.row_nnz, by_matrix.row_nnz)
    assert inputs.density == tensor.mean()
    packed = InputMask.of(tensor)
    np.testing.assert_array_equal(packed.operand(CONV), tensor)
    assert packed.density == tensor.mean()
    assert packed.digest == InputMask.of(tensor.copy()).digest
    assert packed.bits.nbytes == -(-tensor.size // 8)


def test_baselines_of_other_inputs_are_not_mixed_up() -> None:
    """Runs may share baselines; those whose inputs differ in a zero may not."""
    machine, shared = load_hardware("sparten"), DenseResults()
    pruned = prune(NET, Unstructured(0.5))
    apart, together = [], []
    for seed in (1, 2):
        known = with_activations(pruned, drawn(0.5, seed))
        apart.append(run_layers(model_run(known, machine)))
        together.append(run_layers(model_run(known, machine, dense=shared)))
    assert together == apart
    assert apart[0] != apart[1]


def test_the_report_says_whose_zeros_are_whose() -> None:
    extra = dataclasses.replace(FC, name="fc2")
    net = dataclasses.replace(NET, layers=(*NET.layers, extra, dataclasses.replace(FC, name="fc3")))
    some = {**drawn(0.4), "fc2": 0.3}
    notes = simulate(net, on="scnn", activations=some).approximations
    assert "activation zeros are placed at random by density: fc2" in notes
    assert "activations are taken as dense: fc3" in notes
    assert "activation zeros are those captured in all other products" in notes
    asked = simulate(net, on="scnn", activations=some, activation_density=0.5).approximations
    assert "activation zeros are placed at random by density" in asked


def test_masks_of_another_batch_count_by_density() -> None:
    masks = drawn(0.4)
    once = {"conv": masks["conv"][:1], "fc": masks["fc"][:1]}
    run = simulate(NET, on="scnn", activations=once)
    assert [layer.activation_density for layer in run.layers] == [mask.mean() for mask in once.values()]
    assert any("count by their density only: conv, fc" in note for note in run.approximations)
    assert "activation zeros are placed at random by density" in run.approximations


def test_shapes_of_other_kinds_of_layers() -> None:
    line = conv_layer(
        "line",
        ConvShape(
            batch=2, in_channels=3, in_height=1, in_width=9, kernel_height=1, kernel_width=3, out_height=1,
            out_width=7,
        ),
        4,
    )  # fmt: skip
    assert not misfit((2, 3, 9), line)
    assert InputMask.of(np.ones((2, 3, 9), np.bool_)).operand(line).shape == (2, 3, 1, 9)
    scores = Layer(
        name="qk", kind=LayerKind.MATMUL, m=12, k=5, n=6, groups=2, input_elements=120, output_elements=72
    )
    assert not misfit((10, 6), scores)
    assert misfit((10, 7), scores)
    with pytest.raises(ShapeError, match=r"expected an input of shape \(10, 6\), got \(2, 5, 6\)"):
        misfit((2, 5, 6), scores)
    with pytest.raises(ShapeError, match="expected an input of its own size"):
        InputMask.of(np.ones((3, 48), np.bool_)).operand(FC)


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{name.replace("__", "/"): value for name, value in arrays.items()})
    return path


def test_a_file_by_hand(tmp_path: Path) -> None:
    mask = drawn(0.4)["fc"]
    packed = {"fc__input_mask": np.packbits(mask), "fc__input_shape": np.array(mask.shape)}
    for arrays in ({"fc__input_mask": mask}, packed):
        known = load_activations(write(tmp_path / "a.npz", conv__density=0.25, **arrays), NET)
        np.testing.assert_array_equal(known.masks["fc"].nonzero, mask)
        assert known.densities == {"conv": 0.25, "fc": mask.mean()}
        assert known.notes == ()


ONES = np.ones((6, 48), np.bool_)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"fc__input_mask": np.ones((6, 47), np.bool_)}, r'layer "fc": expected .* \(…, 48\), got \(6, 47\)'),
        (
            {"conv__input_mask": np.ones((2, 9, 7, 6), np.bool_)},
            r"expected an input of shape \(batch, 8, 7",
        ),
        ({"fc__input_mask": np.ones((6, 48))}, "expected booleans, or packed bits .* got float64"),
        ({"fc__input_mask": np.packbits(ONES)}, "expected booleans, or packed bits with fc/input_shape"),
        (
            {"fc__input_mask": np.packbits(ONES)[:-1], "fc__input_shape": np.array([6, 48])},
            r"expected 36 bytes of bits for \(6, 48\), got shape \(35,\)",
        ),
        (
            {"fc__input_mask": np.packbits(ONES), "fc__input_shape": np.array([-6, -48])},
            r"expected sizes of at least 1, got \(-6, -48\)",
        ),
        (
            {"fc__input_mask": np.packbits(ONES), "fc__input_shape": np.array([2**62, 2**62, 48])},
            "bytes of bits for",
        ),
        (
            {"fc__input_mask": np.packbits(ONES), "fc__input_shape": np.ones((2, 2), int)},
            r"expected 1 to 8 whole numbers, got int64 of shape \(2, 2\)",
        ),
        ({"fc__input_mask": np.zeros((0, 48), np.bool_)}, r"expected the input's shape, got \(0, 48\)"),
        ({"fc__density": np.ones(3)}, r'"fc/density": expected one density, got 3 numbers'),
        ({"fc__density": 1.5}, r'layer "fc": expected a density of 0 to 1, got 1.5'),
        ({"fc__density": np.nan}, r"expected a density of 0 to 1, got nan"),
        ({"other__density": 0.5}, "expected densities or masks of layers of net, got none"),
    ],
)
def test_files_that_lie(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SimsparseError, match=said) as caught:
        load_activations(write(tmp_path / "a.npz", **arrays), NET)
    assert "\n" not in str(caught.value)
    assert "a.npz" in str(caught.value)


def test_what_does_not_fit_is_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.npz", fc__input_mask=np.ones((7, 48), np.bool_))
    assert load_activations(file, NET).densities == {"fc": 1.0}
    monkeypatch.setattr("simsparse.load.activations_npz.MOST_MASK_BYTES", 100)
    with pytest.raises(FileError, match="expected at most 100 bytes, got 336"):
        load_activations(file, NET)
    file = write(tmp_path / "a.npz", fc__input_mask=np.ones((7, 48), np.bool_), fc__density=0.5)
    assert load_activations(file, NET).densities == {"fc": 0.5}


def test_values_that_are_no_mask() -> None:
    with pytest.raises(UsageError, match=r"boolean mask, got float64 of shape \(6, 48\) \(write x != 0\)"):
        load_activations({"fc": np.ones((6, 48))}, NET)  # type: ignore[dict-item]


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    """A convolution and a linear layer with a ReLU between, and what a run of it showed."""
    rng = np.random.default_rng(0)
    weights = {
        "c.w": rng.standard_normal((8, 2, 3, 3)).astype(np.float32),
        "f.w": rng.standard_normal((10, 128)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Relu", ["x"], ["r0"], "r0"),
        helper.make_node("Conv", ["r0", "c.w"], ["c"], "c", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r1"], "r1"),
        helper.make_node("Flatten", ["r1"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "f.w"], ["y"], "f", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, ["n", 2, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "net.onnx"))
    np.savez(tmp_path / "in.npz", x=rng.standard_normal((3, 2, 8, 8)).astype(np.float32))
    command = ["measure", "net.onnx", "--batch", "3", "--repeat", "1", "--inputs", "in.npz"]
    with pytest.MonkeyPatch.context() as here:
        here.chdir(tmp_path)
        assert command_line([*command, "--capture", "a.npz", "--json"]) == 0
    return tmp_path


def test_from_a_run_to_a_machine(
    captured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(captured)
    from simsparse.load.catalog import load_model

    workload = load_model("net.onnx", batch=3)
    with np.load("in.npz") as file:
        first = np.maximum(file["x"], 0) != 0
    masks = load_activations("a.npz", workload).masks
    products = {layer.name: layer for layer in workload.layers if layer.kind.is_product}
    assert masks.keys() == products.keys()
    np.testing.assert_array_equal(masks["c"].nonzero, first)
    assert 0.2 < masks["f"].density < 0.8
    pruned = prune(workload, Unstructured(0.5))
    capsys.readouterr()
    for machine in ("scnn", "dstc"):
        command = ["simulate", "net.onnx", "--batch", "3", "--on", machine, "--prune", "unstructured:0.5"]
        assert command_line([*command, "--activations", "a.npz", "--json"]) == 0
        run = json.loads(capsys.readouterr().out)
        found = {layer["name"]: layer for layer in run["layers"]}
        assert "activation zeros are those captured" in run["approximations"]
        for name, layer in products.items():
            alone = simulate_layer(layer, machine, pruned.mask(layer), masks[name].operand(layer))
            assert found[name]["cycles"] == alone.cycles
            assert found[name]["energy_j"] == alone.energy_j
            assert found[name]["activation_density"] == masks[name].density


def test_other_verbs_meet_the_same_zeros(captured: Path) -> None:
    from simsparse.explanation import explain
    from simsparse.sweep.recommend import recommend

    model, masks = str(captured / "net.onnx"), captured / "a.npz"
    run = simulate(model, on="scnn", batch=3, prune="unstructured:0.5", activations=masks)
    best = recommend(
        model, on="scnn", batch=3, prune="unstructured:0.5", activations=masks, crossover=False
    ).run
    assert layers(best) == layers(run)
    told = explain(model, on="scnn", batch=3, prune="unstructured:0.5", activations=masks)
    assert told.speedup == run.speedup
    trained = simulate(model, on="scnn", batch=3, prune="unstructured:0.5", activations=masks, phase="train")
    assert any("activation zeros are those captured" in note for note in trained.approximations)


@given(change=st.binary(min_size=1, max_size=40), where=st.integers(0, 700))
@settings(deadline=None, max_examples=60)
def test_changed_bytes_never_leave_as_a_bug(change: bytes, where: int) -> None:
    data = io.BytesIO()
    mask = drawn(0.4)["fc"]
    packed = {"fc/input_mask": np.packbits(mask), "fc/input_shape": np.array(mask.shape)}
    np.savez(data, **packed, **{"conv/density": 0.5})
    raw = bytearray(data.getvalue())
    raw[where : where + len(change)] = change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(bytes(raw))
        with contextlib.suppress(SimsparseError):
            known = load_activations(path, NET)
            assert all(0 <= density <= 1 for density in known.densities.values())
            assert all(not misfit(found.shape, FC) for name, found in known.masks.items() if name == "fc")
