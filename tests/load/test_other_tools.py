"""Tables of other simulators: SCALE-Sim topologies, Timeloop problems, Accelergy's energies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hardware_example import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st
from model_files import CONV_CSV, ERT, ERT_02, GEMM_CSV, TIMELOOP_CONV, TIMELOOP_GEMM

from simsparse.errors import FileError, UsageError
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.checking import check_file
from simsparse.load.files.accelergy_ert import load_ert
from simsparse.pruning.detect import detect_pattern


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


# SCALE-Sim


def test_a_topology_of_convolutions(tmp_path: Path) -> None:
    conv, depthwise, fc = load_model(write(tmp_path / "net.csv", CONV_CSV)).layers
    assert (conv.m, conv.k, conv.n) == (8, 36, 4 * 4)  # ceil((9 - 3) / 2) + 1 and ceil((8 - 3) / 2) + 1
    assert (depthwise.groups, depthwise.m, depthwise.k, depthwise.n) == (6, 6, 9, 25)
    assert (fc.m, fc.k, fc.n) == (10, 32, 1)


def test_a_topology_of_gemms(tmp_path: Path) -> None:
    """The operand of N columns is the filter: their M is our n."""
    qkv, out = load_model(write(tmp_path / "net.csv", GEMM_CSV)).layers
    assert (qkv.m, qkv.k, qkv.n) == (24, 32, 16)
    assert (out.m, out.k, out.n) == (32, 24, 16)


def test_the_sparsity_column_prunes(tmp_path: Path) -> None:
    workload = load_model(write(tmp_path / "net.csv", CONV_CSV))
    assert set(workload.weights) == {"conv1"}
    mask = workload.weights.nonzero("conv1")  # type: ignore[attr-defined]
    assert str(detect_pattern(mask)) == "2:4"
    assert np.array_equal(workload.weights["conv1"] != 0, mask)
    assert "which ones is drawn" in workload.notes[0]


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    down=st.integers(1, 4),
    across=st.integers(1, 4),
)
def test_outputs_as_scale_sim_counts_them(
    height: int,
    width: int,
    rows: int,
    columns: int,
    down: int,
    across: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """ceil((size − filter + stride) / stride), and a shape whose padding makes that true."""
    rows, columns = min(rows, height), min(columns, width)
    text = CONV_CSV.splitlines()[0] + f"\nl, {height}, {width}, {rows}, {columns}, 2, 3, {down}, {across},\n"
    conv = load_model(write(tmp_path_factory.getbasetemp() / "l.csv", text)).layers[0].conv
    assert conv is not None
    assert conv.out_height == -(-(height - rows + down) // down)
    assert conv.out_width == -(-(width - columns + across) // across)
    top, left, bottom, right = conv.padding
    assert conv.out_height == (height + top + bottom - rows) // down + 1
    assert conv.out_width == (width + left + right - columns) // across + 1


HEADER = CONV_CSV.splitlines()[0] + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", "net.csv:1: expected a header Layer name, IFMAP Height"),
        (HEADER, "expected a row for each layer, got none"),
        (HEADER + "l, 7, 7, 3, 3, 4\n", r"net.csv:2: expected a name and 7 numbers \(IFMAP height"),
        (
            HEADER + "l, 7, 7, 9, 3, 4, 8, 1\n",
            "net.csv:2: expected a filter within the 7 x 7 IFMAP, got 9 x 3",
        ),
        (
            HEADER + "l, 7, 7, 3, 3, 0, 8, 1\n",
            'net.csv:2: channels: expected a whole number from 1 to 10.9, got "0"',
        ),
        (HEADER + "l, 7, 7, 3, 3, 4, 8, 1, 5:4\n", "expected N:M with 1 <= N <= M"),
        (HEADER + "l, 7, 7, 3, 3, 4, 8, 1, :\n", "expected N:M with 1 <= N <= M"),
        (
            GEMM_CSV + "x, 1, 1000000000, 1000000000, 1:2\n",
            "weights under N:M, got 1,000,000,000,000,000,000",
        ),
        ("Layer, M, N, K\n" + "l, 1, 1, 1\n" * 20_001, "expected at most 20,000 rows"),
    ],
)
def test_a_topology_with_mistakes(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        load_model(write(tmp_path / "net.csv", text))


# Timeloop


def test_a_convolution_problem(tmp_path: Path) -> None:
    layer = load_model(write(tmp_path / "p.yaml", TIMELOOP_CONV)).layers[0]
    assert (layer.m, layer.k, layer.n) == (8, 3 * 3 * 2, 2 * 5 * 6)
    assert layer.conv is not None
    assert (layer.conv.in_height, layer.conv.in_width) == (4 * 2 + 2 * 3 + 1, 5 + 1 + 1)
    assert (layer.conv.stride, layer.conv.dilation) == ((2, 1), (3, 1))


def test_a_gemm_problem(tmp_path: Path) -> None:
    workload = load_model(write(tmp_path / "p.yaml", TIMELOOP_GEMM))
    layer = workload.layers[0]
    assert (layer.m, layer.k, layer.n) == (4, 6, 5)
    assert "data space A is taken as the weights" in workload.notes[0]
    assert "densities in the problem are not used" in workload.notes[1]


def test_groups_are_dimensions_of_all_three(tmp_path: Path) -> None:
    text = TIMELOOP_CONV.replace("[C, M,", "[G, C, M,").replace("{C: 3", "{G: 5, C: 3")
    text = text.replace("[[[C]], [[M]]", "[[[G]], [[C]], [[M]]").replace(
        "[[[N]], [[C]]", "[[[N]], [[G]], [[C]]"
    )
    text = text.replace("[[[N]], [[M]]", "[[[N]], [[G]], [[M]]")
    layer = load_model(write(tmp_path / "p.yaml", text)).layers[0]
    assert (layer.groups, layer.m, layer.k) == (5, 40, 18)
    assert layer.macs == 5 * 8 * 18 * 60


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("C: 3", "C: 0", r"p.yaml:15:17: problem.instance.C: expected a whole number from 1 to 10.9, got 0"),
        ("C: 3", "C: true", "problem.instance.C: expected a whole number"),
        ("C: 3, ", "", "problem.instance.C: expected a whole number .* got nothing"),
        (
            "C: 3, M: 8",
            "C: 1000000000, M: 1000000000",
            "expected at most 1,000,000,000,000,000,000 multiply-adds",
        ),
        (", read_write: true", "", "expected two operands and one output .* got 3 and 0"),
        ("[R, Wdilation]", "[R, Wstep]", 'expected a coefficient .*, got "Wstep"'),
        ("[P, Wstride]", "[Z]", 'expected a dimension .*, got "Z"'),
        (
            "[[R, Wdilation], [P, Wstride]]",
            "[[R], [P], [Q]]",
            r"one output and one kernel position, got R \+ P \+ Q",
        ),
        ("dimensions: [C,", "dimensions: [C, C,", "expected 1 to 26 different names"),
        ("dimensions: [C,", "dimensions: [H, C,", "problem.instance.H: expected a whole number"),
        ("[[S], [Q, Hstride]]", "[]", "expected a list of terms"),
        ("shape:", "form:", "problem.shape: expected a mapping, got nothing"),
    ],
)
def test_a_problem_with_mistakes(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in TIMELOOP_CONV
    with pytest.raises(FileError, match=message):
        load_model(write(tmp_path / "p.yaml", TIMELOOP_CONV.replace(old, new)))


def test_a_dimension_of_one_space_only(tmp_path: Path) -> None:
    text = TIMELOOP_GEMM.replace("[M, N, K]", "[M, N, K, L]").replace("K: 6", "K: 6, L: 2")
    with pytest.raises(FileError, match="L: expected each dimension in two or three data spaces"):
        load_model(write(tmp_path / "p.yaml", text))


# Accelergy

PRICES = {
    "pe.buffer.read": 0.5,
    "pe.buffer.write(address_delta=0,data_delta=1)": 0.75,
    "pe.buffer.write(address_delta=1,data_delta=1)": 1.0,
    "pe.mac.compute": 0.25,
}


@pytest.mark.parametrize("text", [ERT, ERT_02])
def test_an_energy_reference_table(text: str, tmp_path: Path) -> None:
    table = load_ert(write(tmp_path / "ert.yaml", text))
    assert {name: entry.value for name, entry in table.entries.items()} == PRICES
    assert not table.scale
    assert check_file(tmp_path / "ert.yaml") == "Accelergy table"


def test_a_machine_priced_by_a_table_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "ert.yaml", ERT)
    old, new = "table: accelergy-45nm, entry: mac-int8", "table: ert.yaml, entry: pe.mac.compute, times: 4"
    assert old in EXAMPLE
    machine = load_hardware(write(tmp_path / "machine.yaml", EXAMPLE.replace(old, new)))
    assert machine.energy_pj["mac"]["int8"] == 1.0
    text = machine.sources["energy_pj.mac.int8"].text
    assert text == "Accelergy, ert.yaml [ert.yaml/pe.mac.compute], ×4"
    write(tmp_path / "machine.yaml", EXAMPLE.replace(old, new.replace("pe.mac.compute", "pe.mac.add")))
    with pytest.raises(FileError, match=r'got "pe\.mac\.add" .*pe\.mac\.compute'):
        load_hardware(tmp_path / "machine.yaml")
    write(tmp_path / "machine.yaml", EXAMPLE.replace(old, new.replace("ert.yaml", "../ert.yaml")))
    with pytest.raises(FileError, match=r"an energy table inside the machine's folder, got \"../ert.yaml\""):
        load_hardware(tmp_path / "machine.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("energy: 0.25", "energy: -1", "pe.mac.compute: expected an energy from 0 to 1e.15 pJ, got -1"),
        ("energy: 0.25", "energy: much", "pe.mac.compute: expected an energy"),
        ("energy: 0.25", "energy: 1e300", "pe.mac.compute: expected an energy"),
        ("address_delta: 1, ", "address_delta: 0, ", "expected each action once, got it again"),
        ("- name: pe.mac", "- title: pe.mac", "expected an entry with a name, got a mapping"),
        ("  tables:", "  chairs:", "ERT.tables: expected a list or a mapping, got nothing"),
        ("ERT:", "ART:", "expected an energy reference table, got no ERT"),
    ],
)
def test_a_table_with_mistakes(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        load_ert(write(tmp_path / "ert.yaml", ERT.replace(old, new, 1)))


# What leads where


def test_files_are_known_by_ending_and_content(tmp_path: Path) -> None:
    assert check_file(write(tmp_path / "a.csv", CONV_CSV)) == "SCALE-Sim topology"
    assert check_file(write(tmp_path / "P.YAML", TIMELOOP_CONV)) == "Timeloop problem"
    with pytest.raises(FileError, match=r"expected a folder with config\.json"):
        load_model(tmp_path)
    with pytest.raises(FileError, match=r"expected a file that ends in \.yaml, \.onnx, \.safetensors"):
        check_file(write(tmp_path / "a.txt", "x"))
    with pytest.raises(UsageError, match="seq: expected a model with a sequence, got a SCALE-Sim topology"):
        load_model(tmp_path / "a.csv", seq=3)
    for name, what in (("resnet18", "a workload"), ("gemm:8,8,8", "gemm:8,8,8")):
        with pytest.raises(UsageError, match=f"columns: expected a single matrix .* got {what}"):
            load_model(name, columns=3)


def test_a_folder_called_like_a_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resnet18").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_model("resnet18").macs > 10**9
