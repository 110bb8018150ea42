"""Arrays from ``.npz`` files: what NumPy wrote is read, anything else is refused in one line."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simsparse
from simsparse.errors import FileError, SimsparseError
from simsparse.load.calibration_npz import load_calibration
from simsparse.load.npz import NpzArrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(save: object, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = {
        "block.0/conv/inputs": rng.standard_normal((5, 7)),
        "a/mask": rng.random((3, 4)) < 0.5,
        "b/gram": np.asfortranarray(rng.standard_normal((4, 6)).astype(np.float32)),
        "c/density": np.array(0.25),
        "d/inputs": np.zeros((0, 3)),
    }
    save(tmp_path / "x.npz", **wanted)  # type: ignore[operator]
    found = NpzArrays(tmp_path / "x.npz")
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def archive(path: Path, data: bytes, name: str = "a/inputs.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return path


def header(text: str) -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def pickled() -> bytes:
    data = io.BytesIO()
    np.save(data, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no array",
        pickled(),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -4)}") + bytes(32),
        header("{'descr': '<U9', 'fortran_order': False, 'shape': (1,)}") + bytes(36),
        header("__import__('os').abort()"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (4,)}") + bytes(31),
    ],
)
def test_damaged_arrays_are_refused(data: bytes, tmp_path: Path) -> None:
    found = NpzArrays(archive(tmp_path / "x.npz", data))
    with pytest.raises(FileError, match=r'x.npz: array "a/inputs": expected an array of numbers, got'):
        found["a/inputs"]


@given(st.binary(min_size=1, max_size=40), st.integers(0, 400))
@settings(deadline=None, max_examples=60)
def test_changed_bytes_never_leave_as_a_bug(change: bytes, where: int) -> None:
    data = io.BytesIO()
    np.savez(data, **{"a/inputs": np.arange(6.0).reshape(2, 3)})
    raw = bytearray(data.getvalue())
    raw[where : where + len(change)] = change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        path.write_bytes(bytes(raw))
        with contextlib.suppress(SimsparseError):
            assert all(array.nbytes <= len(raw) for array in NpzArrays(path).values())


def test_missing_and_foreign_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no.npz: expected an .npz file, got: No such file"):
        load_calibration(tmp_path / "no.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(FileError, match=r"text.npz: expected an .npz file, got another kind"):
        load_calibration(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(FileError, match=r"other.npz: expected arrays named <layer>/<kind>"):
        load_calibration(tmp_path / "other.npz")


def test_a_criterion_takes_its_data_from_a_file(tmp_path: Path) -> None:
    squares = np.ones(64)
    squares[:32] = 1e6  # inputs so strong that their weights stay
    np.savez(tmp_path / "x.npz", **{"gemm/input_squares": squares})
    run = simsparse.simulate(
        "gemm:32,64,8",
        on="eie",
        prune="unstructured:0.5",
        criterion="wanda",
        calibration=tmp_path / "x.npz",
    )
    assert run.criterion == "wanda"
    assert run.layers[0].weight_density == 0.5
