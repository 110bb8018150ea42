"""Exported workloads run in onnxruntime, compute what they should, and read back as what they were."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx_models import convolve, run, run_seeded
from scipy.signal import correlate

from simsparse.errors import FileError, ShapeError, UsageError
from simsparse.ir import Layer, LayerKind, Workload
from simsparse.load import onnx_export
from simsparse.load.graph import Graph, Op, TensorSpec, make_graph
from simsparse.load.lower import lower
from simsparse.load.onnx_export import export_onnx
from simsparse.load.onnx_import import load_onnx
from simsparse.load.onnx_repeat import write_out
from simsparse.load.shape_rules import make_node
from simsparse.load.workload_yaml import load_workload_yaml

WORKLOADS = Path(__file__).parents[2] / "workloads"


def seeded(workload: Workload) -> Callable[[str], NDArray[Any]]:
    """Half of the weights are pruned; the others keep activations at their size."""
    sizes = {layer.name: (layer.m, layer.k) for layer in workload.layers if layer.kind.has_weights}

    def weights(name: str) -> NDArray[Any]:
        m, k = sizes[name]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        some = rng.standard_normal(65_537, dtype=np.float32) * np.float32(np.sqrt(4 / k))
        some[::2] = 0
        return np.resize(some, (m, k))

    return weights


def written_out(graph: Graph) -> Workload:
    """The workload with all repetitions as layers of their own."""
    instances, outputs = write_out(graph)
    nodes = tuple(instance.node for instance in instances)
    whole = make_graph(
        graph.name, source=graph.source, inputs=graph.inputs, nodes=nodes, outputs=outputs, batch=graph.batch
    )
    return lower(whole)


def figures(layer: Layer) -> tuple[Any, ...]:
    """Everything a layer says but where its heads lie, which only linear layers of a file can carry."""
    work = (layer.m, layer.k, layer.n, layer.groups, layer.conv, layer.count, layer.heads, layer.head_axis)
    return (layer.name, layer.kind, *work, layer.input_elements, layer.output_elements, layer.operations)


def check_round_trip(graph: Graph, file: Path) -> None:
    weights = seeded(lower(graph))
    export_onnx(graph, weights, file)
    expected, got = written_out(graph), load_onnx(file)
    assert [figures(layer) for layer in got.layers] == [figures(layer) for layer in expected.layers]
    assert got.unsupported == ()
    assert got.batch == graph.batch
    bases = {instance.node.name: instance.base for instance in write_out(graph)[0]}
    products = [layer.name for layer in got.layers if layer.kind.has_weights]
    assert set(got.weights) == set(products)
    for name in products[:3] + products[-3:]:
        assert np.array_equal(got.weights[name], weights(bases[name]))
    if file.stat().st_size < 20_000_000:
        onnx.checker.check_model(str(file), full_check=True)
    for values in run_seeded(file)[1]:
        assert np.isfinite(values).all()
        assert np.abs(values).max() > 0


def bundled(name: str) -> Graph:
    return load_workload_yaml(WORKLOADS / f"{name}.yaml")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1", "mobilenet_v2", "googlenet", "resnet50"])
def test_bundled_networks(name: str, tmp_path: Path) -> None:
    check_round_trip(bundled(name), tmp_path / "model.onnx")


def test_the_largest_convolutional_network(tmp_path: Path) -> None:
    check_round_trip(bundled("alexnet"), tmp_path / "model.onnx")


def test_a_transformer_of_full_width(tmp_path: Path) -> None:
    check_round_trip(shrunk("bert-base", layers=2, seq=16), tmp_path / "model.onnx")


def shrunk(name: str, **sizes: int) -> Graph:
    """A bundled language model with smaller sizes."""
    text = (WORKLOADS / f"{name}.yaml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("parameters:")]
    pairs = dict(pair.split(": ") for pair in line[len("parameters: {") : -1].split(", "))
    assert sizes.keys() <= pairs.keys()
    small = ", ".join(f"{key}: {sizes.get(key, value)}" for key, value in pairs.items())
    return _from_text(text.replace(line, f"parameters: {{{small}}}"))


def _from_text(text: str) -> Graph:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.yaml"
        file.write_text(text)
        return load_workload_yaml(file)


SMALL = {"layers": 2, "hidden": 64, "heads": 4}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gpt2", SMALL | {"seq": 16, "vocab": 99}),
        ("vit-b-16", SMALL),
        ("bert-base", SMALL | {"seq": 16, "vocab": 99}),
        ("llama-2-7b-prefill", SMALL | {"seq": 16, "vocab": 99, "intermediate": 96}),
        ("llama-2-7b-decode", SMALL | {"seq": 16, "vocab": 99, "intermediate": 96, "batch": 3}),
    ],
)
def test_bundled_transformers_made_small(name: str, sizes: dict[str, int], tmp_path: Path) -> None:
    check_round_trip(shrunk(name, **sizes), tmp_path / "model.onnx")


def test_every_workload_that_is_bundled_can_be_written_out() -> None:
    for file in sorted(WORKLOADS.glob("*.yaml")):
        graph = load_workload_yaml(file)
        once, counted = written_out(graph), lower(graph)
        assert once.macs == counted.macs
        assert sum(layer.output_elements for layer in once.layers) == sum(
            layer.output_elements * layer.count for layer in counted.layers
        )


def graph_of(
    nodes: list[tuple[Any, ...]], *, outputs: tuple[str, ...] = (), **inputs: tuple[int, ...]
) -> Graph:
    """A graph from (name, op, inputs, attributes[, count])."""
    shapes = dict(inputs)
    made = []
    for name, op, sources, attributes, *count in nodes:
        node = make_node(name, op, sources, shapes, attributes, count=count[0] if count else 1)
        shapes[name] = node.shape
        made.append(node)
    specs = {name: TensorSpec(shape=shape) for name, shape in inputs.items()}
    batch = next(iter(inputs.values()))[0]
    return make_graph(
        "g",
        source="test",
        inputs=specs,
        nodes=tuple(made),
        outputs=outputs or (made[-1].output,),
        batch=batch,
    )


UP = {"out_channels": 6, "kernel": 3, "stride": 2, "padding": 1, "groups": 2, "bias": 1}
# One node of every operation that the networks above do not have
EVERYTHING = graph_of(
    [
        ("up", Op.CONV_TRANSPOSE, ("x",), UP),
        ("norm1", Op.GROUP_NORM, ("up",), {}),
        ("norm2", Op.INSTANCE_NORM, ("norm1",), {}),
        ("act1", Op.LEAKY_RELU, ("norm2",), {}),
        ("act2", Op.HARD_SWISH, ("act1",), {}),
        ("act3", Op.HARD_SIGMOID, ("act2",), {}),
        ("act4", Op.SIGMOID, ("act3",), {}),
        ("act5", Op.RELU6, ("act4",), {}),
        ("some", Op.POINTWISE, ("act5",), {"operations": 3}),
        ("two", Op.POINTWISE, ("act5", "some"), {"operations": 2}),
        ("scaled", Op.SCALE, ("two",), {}),
        ("sub", Op.SUB, ("scaled", "act5"), {}),
        ("div", Op.DIV, ("sub", "act4"), {}),
        ("pool", Op.AVG_POOL, ("div",), {"kernel": 2, "stride": 2, "ceil": 1}),
        ("part", Op.SLICE, ("pool",), {"axis": 3, "start": 1, "stop": -1}),
        ("larger", Op.COPY, ("part",), {"shape": (2, 6, 8, 8)}),
        ("turned", Op.TRANSPOSE, ("larger",), {"axes": (0, 2, 3, 1)}),
        ("mean", Op.REDUCE, ("turned",), {"axes": (1, 2), "keepdims": 1}),
        ("most", Op.REDUCE, ("turned",), {"axes": (1,), "how": "max"}),
        ("both", Op.ADD, ("turned", "mean", "mean"), {}),
        ("top", Op.GLOBAL_MAX_POOL, ("larger",), {}),
        ("flat", Op.FLATTEN, ("top",), {}),
        ("fc", Op.LINEAR, ("flat",), {"out_features": 5, "bias": 1}),
    ],
    outputs=("fc", "both", "most"),
    x=(2, 4, 6, 6),
)  # fmt: skip


def test_every_other_operation(tmp_path: Path) -> None:
    check_round_trip(EVERYTHING, tmp_path / "model.onnx")
    used = {node.op for node in EVERYTHING.nodes}
    for file in WORKLOADS.glob("*.yaml"):
        used |= {node.op for node in load_workload_yaml(file).nodes}
    assert used | {Op.HARD_SWISH} == set(Op)


def test_what_runs_is_the_arithmetic_that_is_simulated(tmp_path: Path) -> None:
    """Grouped convolution, residual and linear layer: onnxruntime against float64 sums and SciPy."""
    graph = graph_of(
        [
            ("conv", Op.CONV, ("x",), {"out_channels": 4, "kernel": 3, "padding": 1, "groups": 2}),
            ("residual", Op.ADD, ("conv", "x"), {}),
            ("relu", Op.RELU, ("residual",), {}),
            ("flat", Op.FLATTEN, ("relu",), {}),
            ("fc", Op.LINEAR, ("flat",), {"out_features": 5}),
        ],
        x=(2, 4, 5, 6),
    )
    file = tmp_path / "model.onnx"
    weights = seeded(lower(graph))
    export_onnx(graph, weights, file)
    inputs, (got,) = run_seeded(file)
    x = inputs["x"]
    kernels = weights("conv").reshape(4, 2, 3, 3).astype(np.float64)
    conv = np.zeros((2, 4, 5, 6))
    for image in range(2):
        for channel in range(4):
            group = slice(channel // 2 * 2, channel // 2 * 2 + 2)
            padded = np.pad(x[image, group].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
            conv[image, channel] = correlate(padded, kernels[channel], mode="valid")[0]
    layer = load_onnx(file).layers[0]
    np.testing.assert_allclose(convolve(layer, weights("conv"), x), conv, atol=1e-12)
    expected = np.maximum(conv + x, 0).reshape(2, -1) @ weights("fc").astype(np.float64).T
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_repeated_blocks_follow_each_other(tmp_path: Path) -> None:
    """Three blocks x → relu(x·Wᵀ) + x, the inner layer twice in each."""
    graph = graph_of(
        [
            ("one", Op.LINEAR, ("x",), {"out_features": 4}, 6),
            ("relu", Op.RELU, ("one",), {}, 3),
            ("add", Op.ADD, ("relu", "x"), {}, 3),
            ("out", Op.LINEAR, ("add",), {"out_features": 2}),
        ],
        x=(3, 4),
    )
    names = [instance.node.name for instance in write_out(graph)[0]]
    assert names == [
        "one.0.0", "one.0.1", "relu.0", "add.0",
        "one.1.0", "one.1.1", "relu.1", "add.1",
        "one.2.0", "one.2.1", "relu.2", "add.2",
        "out",
    ]  # fmt: skip
    file = tmp_path / "model.onnx"
    weights = seeded(lower(graph))
    export_onnx(graph, weights, file)
    inputs, (got,) = run_seeded(file)
    x = inputs["x"]
    state, w = x.astype(np.float64), weights("one").astype(np.float64)
    for _ in range(3):
        state = np.maximum(state @ w.T @ w.T, 0) + state
    np.testing.assert_allclose(got, state @ weights("out").T, rtol=1e-5, atol=1e-5)


def test_neighbours_with_counts_of_their_own() -> None:
    nodes: list[tuple[Any, ...]] = [
        ("a", Op.RELU, ("x",), {}, 2),
        ("b", Op.TANH, ("a",), {}, 3),
    ]
    names = [instance.node.name for instance in write_out(graph_of(nodes, x=(1, 4)))[0]]
    assert names == ["a.0", "a.1", "b.0", "b.1", "b.2"]


def test_a_repeated_block_must_keep_its_shape() -> None:
    graph = graph_of([("fc", Op.LINEAR, ("x",), {"out_features": 5}, 2)], x=(1, 4))
    with pytest.raises(UsageError, match="g: expected a repeated block that keeps its shape"):
        write_out(graph)


def test_same_seed_same_file(tmp_path: Path) -> None:
    graph = shrunk("bert-base", **SMALL, seq=16, vocab=99)
    weights = seeded(lower(graph))
    files = [tmp_path / f"{seed}{number}.onnx" for seed, number in ((1, 1), (1, 2), (2, 1))]
    for file in files:
        export_onnx(graph, weights, file, seed=int(file.name[0]))
    first, second, other = (file.read_bytes() for file in files)
    assert first == second != other


def fc(k: int = 40, m: int = 50) -> Graph:
    return graph_of([("fc", Op.LINEAR, ("x",), {"out_features": m, "bias": 1})], x=(2, k))


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "INLINE_BYTES", 1000)
    graph, file = fc(), tmp_path / "model.onnx"
    weights = seeded(lower(graph))
    export_onnx(graph, weights, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert file.stat().st_size < 1000 < (tmp_path / "model.onnx.data").stat().st_size
    np.testing.assert_array_equal(load_onnx(file).weights["fc"], weights("fc"))
    onnx.checker.check_model(str(file))
    x, outputs = run_seeded(file)
    inside = tmp_path / "inside.onnx"
    monkeypatch.undo()
    export_onnx(graph, weights, inside)
    np.testing.assert_array_equal(outputs, run(inside, x))


def test_size_is_limited_unless_forced(tmp_path: Path) -> None:
    graph, file = fc(), tmp_path / "model.onnx"
    weights = seeded(lower(graph))
    with pytest.raises(UsageError, match="g: expected at most 1,000 bytes to export, got 8,200"):
        export_onnx(graph, weights, file, max_bytes=1000)
    assert not list(tmp_path.iterdir())
    export_onnx(graph, weights, file, max_bytes=None)
    assert file.exists()


def test_llama_is_too_large_by_default(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="llama-2-7b-decode: expected at most 8,589,934,592 bytes to export, got 26,9"
    ):
        export_onnx(bundled("llama-2-7b-decode"), lambda _: np.empty(0), tmp_path / "model.onnx")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_text("precious")
    with pytest.raises(ShapeError, match=r"weights of fc: expected an array of 50 x 40, got \(40, 50\)"):
        export_onnx(fc(), lambda _: np.ones((40, 50)), file)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert file.read_text() == "precious"


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    weights = seeded(lower(fc()))
    with pytest.raises(FileError, match="expected a file to write, got a folder"):
        export_onnx(fc(), weights, tmp_path)
    with pytest.raises(FileError, match="expected an existing folder to write to"):
        export_onnx(fc(), weights, tmp_path / "none" / "model.onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="expected an existing folder"):
        export_onnx(fc(), weights, tmp_path / "file" / "model.onnx")
    with pytest.raises(FileError, match="expected a file that can be written, got: File name too long"):
        export_onnx(fc(), weights, tmp_path / ("n" * 300 + ".onnx"))


def test_heads_survive(tmp_path: Path) -> None:
    graph = graph_of(
        [("fc", Op.LINEAR, ("x",), {"out_features": 8, "heads": 4, "head_axis": "k"})], x=(1, 3, 8)
    )
    file = tmp_path / "model.onnx"
    export_onnx(graph, seeded(lower(graph)), file)
    (layer,) = load_onnx(file).layers
    assert (layer.kind, layer.heads, layer.head_axis) == (LayerKind.LINEAR, 4, "k")
