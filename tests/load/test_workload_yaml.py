"""The workload language: equal files give equal layers, and every mistake is reported with its place."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import FileError, UsageError
from simsparse.load.graph import Graph, Op
from simsparse.load.lower import lower
from simsparse.load.workload_spec import TAKES, LayerSpec, workload_adapter
from simsparse.load.workload_yaml import load_workload, load_workload_yaml

HEAD = """\
name: tiny
source: a test
parameters: {batch: 1, seq: 8, width: 16, wide: 4 * width}
inputs: {x: [batch, seq, width]}
"""
IMAGE = """\
name: tiny
source: a test
parameters: {batch: 1}
inputs: {image: [batch, 3, 8, 8]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, body: str, head: str = HEAD) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(head + textwrap.dedent(body), encoding="utf-8")
    return path


def read(folder: Path, body: str, head: str = HEAD, **overrides: int) -> Graph:
    return load_workload_yaml(write(folder, body, head), **overrides)


def mistakes(folder: Path, body: str, head: str = HEAD) -> tuple[str, ...]:
    with pytest.raises(FileError) as raised:
        read(folder, body, head)
    return raised.value.mistakes


PLAIN = """
layers:
  - {op: linear, name: a.up, out_features: 64}
  - {op: relu, name: a.up.relu}
  - {op: linear, name: a.down, out_features: 16}
  - {op: add, name: a.add, from: [a.down, x]}
  - {op: linear, name: b.up, out_features: 64}
  - {op: relu, name: b.up.relu}
  - {op: linear, name: b.down, out_features: 16}
  - {op: add, name: b.add, from: [b.down, a.add]}
"""
SAME = [
    """
    blocks:
      mlp:
        layers:
          - {op: linear, name: up, out_features: wide, then: [relu]}
          - {op: linear, name: down, out_features: width}
          - {op: add, from: [down, input]}
    layers:
      - {block: mlp, name: a}
      - {block: mlp, name: b}
    """,
    """
    blocks:
      path:
        parameters: {hidden, out: width}
        layers:
          - {op: linear, name: up, out_features: hidden, then: relu}
          - {op: linear, name: down, out_features: out}
      mlp:
        parameters: {hidden: 2 * width}
        layers:
          - {block: path, with: {hidden: hidden}}
          - {op: add, from: [down, input]}
    layers:
      - {block: mlp, name: a, with: {hidden: 4 * width}}
      - {block: mlp, name: b, from: a, with: {hidden: wide}}
    """,
]


@pytest.mark.parametrize("body", SAME)
def test_blocks_are_only_a_way_of_writing(here: Path, body: str) -> None:
    body = body.replace("then: relu}", "then: [relu]}")
    written_out, blocks = read(here, PLAIN), read(here, body)
    assert blocks.nodes == written_out.nodes
    assert lower(blocks) == lower(written_out)


def test_repeat_writes_out_what_count_multiplies(here: Path) -> None:
    block = """
    blocks:
      mlp:
        layers:
          - {op: linear, name: up, out_features: wide, then: [gelu]}
          - {op: linear, name: down, out_features: width}
    layers:
      - {block: mlp, name: USE}
    """
    repeated = lower(read(here, block.replace("name: USE", 'name: "mlp.{i}", repeat: 5, first: 2')))
    counted = lower(read(here, block.replace("name: USE", "name: mlp, count: 5")))
    assert [layer.name for layer in repeated.layers[::3]] == [f"mlp.{i}.up" for i in range(2, 7)]
    assert [layer.count for layer in counted.layers] == [5, 5, 5]
    assert repeated.macs == counted.macs
    assert sum(layer.operations for layer in repeated.layers) == sum(
        5 * layer.operations for layer in counted.layers
    )


@given(first=st.integers(0, 3), repeat=st.integers(1, 4))
def test_the_index_counts(tmp_path_factory: pytest.TempPathFactory, first: int, repeat: int) -> None:
    body = f"""
    blocks:
      grow:
        parameters: {{out}}
        layers:
          - {{op: linear, name: fc, out_features: out + i}}
    layers:
      - {{block: grow, name: "stage{{i}}", first: {first}, repeat: {repeat}, with: {{out: 10 * (i + 1)}}}}
    """
    made = read(tmp_path_factory.mktemp("w"), body)
    assert [(node.name, node.shape[-1]) for node in made.nodes] == [
        (f"stage{i}.fc", 10 * (i + 1) + i) for i in range(first, first + repeat)
    ]


def test_counts_multiply_through_blocks(here: Path) -> None:
    body = """
    blocks:
      inner: {layers: [{op: linear, name: fc, out_features: width, count: 2}]}
      outer: {layers: [{block: inner, name: in, count: 3}]}
    layers: [{block: outer, name: out, count: 4}]
    """
    (node,) = read(here, body).nodes
    assert (node.name, node.count) == ("out.in.fc", 24)


def test_batch_and_seq_take_the_place_of_the_files_values(here: Path) -> None:
    made = read(here, "layers: [{op: linear, name: fc, out_features: seq}]", batch=3, seq=5)
    assert (made.batch, made.inputs["x"].shape, made.shapes["fc"]) == (3, (3, 5, 16), (3, 5, 5))


def test_an_override_without_its_parameter_is_refused(here: Path) -> None:
    path = write(here, "layers: [{op: relu}]", IMAGE)
    with pytest.raises(
        UsageError, match=r"tiny: expected a parameter of this workload, got seq \(known: batch\)"
    ):
        load_workload_yaml(path, seq=4)
    with pytest.raises(UsageError, match="tiny: expected batch >= 1, got 0"):
        load_workload_yaml(path, batch=0)


def test_a_limit_holds_for_overrides_too(here: Path) -> None:
    path = write(here, "limits: {seq: 16}\nlayers: [{op: relu}]")
    assert load_workload_yaml(path, seq=16).inputs["x"].shape == (1, 16, 16)
    with pytest.raises(FileError, match=r"tiny.yaml:5:15: limits.seq: expected seq <= 16, got 17"):
        load_workload_yaml(path, seq=17)


def test_unnamed_layers_are_told_apart(here: Path) -> None:
    made = read(here, "layers: [{op: relu}, {op: relu}, {op: gelu}, {op: relu}]")
    assert [node.name for node in made.nodes] == ["relu", "relu_2", "gelu", "relu_3"]


def test_a_name_means_what_follows_it_too(here: Path) -> None:
    made = read(
        here, "layers: [{op: linear, name: a, out_features: width, then: [gelu]}, {op: add, from: [a, x]}]"
    )
    assert made.nodes[-1].inputs == ("a.gelu", "x")


def test_token_inputs_are_whole_numbers(here: Path) -> None:
    head = HEAD.replace("x: [batch, seq, width]", "ids: [batch, seq], x: [1, seq, width]")
    made = read(
        here,
        "layers: [{op: embedding, name: e, from: ids, vocab: 9, dim: width}, {op: add, from: [e, x]}]",
        head,
    )
    assert {name: spec.dtype for name, spec in made.inputs.items()} == {"ids": "int64", "x": "float32"}


def test_attributes_reach_the_node(here: Path) -> None:
    body = """
    layers:
      - {op: conv, out_channels: 4, kernel: [3, 1], padding: [1, 0], bias: true}
      - {op: reduce, axes: [2, -1], how: max}
    """
    conv, reduce = read(here, body, IMAGE).nodes
    assert dict(conv.attributes) == {"out_channels": 4, "kernel": (3, 1), "padding": (1, 0), "bias": 1}
    assert dict(reduce.attributes) == {"axes": (2, -1), "how": "max"}
    assert reduce.shape == (1, 4)


def test_yaml_to_layers_in_one_step(here: Path) -> None:
    workload = load_workload(write(here, "layers: [{op: linear, name: fc, out_features: 4}]"), seq=3)
    assert [(layer.m, layer.k, layer.n) for layer in workload.layers] == [(4, 16, 3)]


WRONG = [
    (
        "{op: lineer, out_features: 4}",
        'layers[0].op: expected an operation (did you mean linear?), got "lineer"',
    ),
    ("{op: linear, out_feature: 4}", 'layers[0].out_feature: expected a known key, got "out_feature"'),
    ("{op: linear}", "layers[0]: expected out_features on linear, got none (add out_features: …)"),
    ("{op: relu, kernel: 3}", "layers[0].kernel: expected no kernel on relu, got one"),
    (
        "{op: linear, out_features: 4, axis: 1}",
        "expected no axis on linear, got one (it takes out_features, bias",
    ),
    ("{name: a}", "layers[0]: expected an op or a block, got neither"),
    ("{op: relu, block: a}", "layers[0]: expected an op or a block, got both"),
    (
        "{op: linear, out_features: 4 * widht}",
        '.out_features: expected a known name, got "widht" in "4 * widht"',
    ),
    (
        "{op: linear, out_features: 4.5}",
        '.out_features: expected a whole number or a formula such as "4 * hidden", got 4.5',
    ),
    ("{op: linear, out_features: [4]}", ".out_features: expected a whole number or a formula"),
    ("{op: linear, out_features: 0}", "layers[0]: linear: linear: expected out_features >= 1, got 0"),
    ("{op: linear, out_features: 4, bias: 1}", ".bias: expected true or false, got 1"),
    ("{op: add, from: [x, y]}", 'layers[0].from: expected a layer before this one, got "y" (known here: x)'),
    ("{op: add, from: 7}", "layers[0].from: expected a name or a list of names, got 7"),
    ("{op: add}", "layers[0]: add: add: expected 2 or more inputs, got 1"),
    ("{op: relu, then: [linear]}", ".then[0]: expected an operation without attributes, got linear"),
    (
        "{op: relu, name: a b}",
        'layers[0].name: expected a name of letters, digits, "_", ".", "-" and "/", got "a b"',
    ),
    ("{op: relu, name: x}", 'layers[0].name: expected a name used once, got "x" again'),
    ("{op: relu, count: 0}", "layers[0].count: expected a whole number from 1 to 50000, got 0"),
    ("{op: linear, out_features: 4, count: 2}", "layers[0].count: expected a layer that keeps its shape"),
    ("{op: reduce, axes: [9]}", "expected an axis from -3 to 2, got 9"),
    ("{op: reduce, axes: [0], how: median}", "layers[0].how: expected one of mean, sum, max, min"),
    ("{block: mpl}", 'layers[0].block: expected a block of this file, got "mpl" (did you mean mlp?)'),
    ("{block: mlp, kernel: 3}", "layers[0].kernel: expected no kernel on block mlp, got one"),
    (
        "{block: mlp, with: {hiden: 3}}",
        "layers[0].with.hiden: expected a parameter of block mlp, got hiden (hidden)",
    ),
    ("{block: mlp}", "layers[0]: expected a value for hidden of block mlp, got none (add it to with)"),
    ("{block: mlp, repeat: 2, with: {hidden: 4}}", 'layers[0].name: expected a name with {i}, got ""'),
    (
        "{block: mlp, name: m, count: 2, with: {hidden: 4}}",
        "layers[0].count: expected a block that keeps its shape",
    ),
    (
        "{block: mlp, from: [x, x], with: {hidden: 4}}",
        "layers[0].from: expected one tensor for a block, got 2",
    ),
    ("{block: loop}", "blocks.loop.layers[0].block: expected a block that does not contain itself, got loop"),
]
BLOCKS = """
blocks:
  mlp:
    parameters: {hidden}
    layers: [{op: linear, name: up, out_features: hidden}]
  loop:
    layers: [{block: loop}]
layers:
"""


@pytest.mark.parametrize(("layer", "message"), WRONG)
def test_a_mistake_is_one_line_at_its_place(here: Path, layer: str, message: str) -> None:
    (line,) = mistakes(here, f"{BLOCKS}  - {layer}\n")
    assert message in line
    file, row, column, _ = line.split(":", 3)
    assert (file, int(row)) == ("tiny.yaml", 11 if "blocks.loop" in message else 13)
    assert int(column) > 1


def test_all_mistakes_of_a_file_at_once(here: Path) -> None:
    body = """
    blocks:
      net:
        parameters: {stride}
        layers:
          - {op: conv, name: a, out_channels: 4, kernel: 9}
          - {op: relu, from: a}
          - {op: conv, name: b, from: input, out_channels: 5, kernel: 1, groups: 2}
    layers:
      - {block: net, name: "n{i}", repeat: 3, with: {stride: 1}}
      - {op: relu, name: ok, from: imag}
      - {op: add, from: [ok, image]}
      - {op: linear, name: last, from: image, out_features: 0}
    """
    assert mistakes(here, body, IMAGE) == (
        "tiny.yaml:10:9: blocks.net.layers[0]: n0.a: conv: expected a kernel that fits the padded image, "
        "got 9x9 on 8x8 (pad more or shrink the kernel)",
        "tiny.yaml:12:9: blocks.net.layers[2]: n0.b: conv: expected channels divisible by groups=2, "
        "got 3 in, 5 out",
        'tiny.yaml:15:32: layers[1].from: expected a layer before this one, got "imag" (did you mean image?)',
        "tiny.yaml:17:5: layers[3]: last: linear: expected out_features >= 1, got 0",
    )


def test_mistakes_outside_the_layers(here: Path) -> None:
    head = """\
name: tiny
source: a test
parameters: {batch: 0, a: b, c: a}
limits: {batch: 1, d: 2}
inputs: {x: [0, 3], "y z": [1]}
layers: [{op: relu}]
"""
    lines = mistakes(here, "", head)
    assert any("parameters.batch: expected a whole number >= 1, got 0" in line for line in lines)
    head = head.replace("batch: 0, a: b, c: a", "batch: 2")
    assert [line.split(": ", 1)[1] for line in mistakes(here, "", head)] == [
        "limits.batch: expected batch <= 1, got 2",
        "limits.d: expected a parameter, got d (known: batch)",
        "inputs.x: expected sizes >= 1, got [0, 3]",
        'inputs.y z: expected a name of letters, digits, "_", ".", "-" and "/", got "y z"',
    ]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (IMAGE + "layers: []", "layers: expected at least one layer, got none"),
        (
            IMAGE.replace("image: [batch, 3, 8, 8]", "") + "layers: [{op: relu}]",
            "inputs: expected at least one input",
        ),
        (IMAGE, "layers: expected a value, got nothing"),
        (IMAGE + "layers: [{op: relu}]\nlayer: 3", 'layer: expected a known key, got "layer"'),
        (
            IMAGE.replace("8, 8]", "8, 8], b: [1, 2]") + "layers: [{op: relu}]",
            "layers[0]: expected from, got none (the workload has inputs image, b)",
        ),
    ],
)
def test_a_file_that_is_no_workload(here: Path, head: str, message: str) -> None:
    (line,) = mistakes(here, "", head)
    assert message in line


def test_a_small_file_cannot_ask_for_endless_work(here: Path) -> None:
    depth = 20
    blocks = "".join(
        f"  b{i}: {{layers: [{{block: b{i + 1}, name: '{{i}}', repeat: 50000}}]}}\n" for i in range(depth)
    )
    body = f"blocks:\n{blocks}  b{depth}: {{layers: []}}\nlayers: [{{block: b0}}]\n"
    start = time.perf_counter()
    (line,) = mistakes(here, body)
    assert "expected at most 50000 layers, got more (use count for identical ones)" in line
    assert time.perf_counter() - start < 5


def test_the_language_knows_every_operation_and_attribute() -> None:
    about = {"op", "block", "name", "from", "then", "count", "with", "repeat", "first"}
    keys = set(LayerSpec.__annotations__)
    taken = {key for required, optional in TAKES.values() for key in (*required, *optional)}
    assert keys == about | taken
    assert set(workload_adapter().json_schema()["$defs"]["LayerSpec"]["properties"]["op"]["enum"]) == set(
        map(str, Op)
    )


def test_the_largest_bundled_file_is_read_quickly() -> None:
    path = Path(__file__).parents[2] / "workloads" / "resnet50.yaml"
    load_workload(path)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        load_workload(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.06
