"""Captured activation densities: the ``.npz`` that ``simsparse measure --capture`` writes.

Nothing is unpickled, and nothing is unpacked before its size has been looked at.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.onnx_text import clean

VERSION = 1
MAX_BYTES = 64 * 2**20
"""Of one array in the file, unpacked."""
_WAY_OUT = "write it with simsparse measure --capture"


def read_capture(path: str | Path) -> dict[str, float]:
    """The nonzero share of each layer's input, by layer name.

    Raises
    ------
    FileError
        If the file cannot be read, or is none that a capture writes.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            version = _array(archive, "version", path)
            names = _array(archive, "names", path)
            densities = _array(archive, "densities", path)
    except OSError as error:
        raise _mistake(path, "a file that can be read", error.strerror or str(error)) from None
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _mistake(path, "captured activations (.npz)", clean(str(error))[:120]) from None
    if version.dtype.kind not in "iu" or version.shape != () or int(version) != VERSION:
        raise _mistake(path, f"version {VERSION}", clean(str(version))[:40])
    return _checked(path, names, densities)


def _checked(path: Path, names: NDArray[Any], densities: NDArray[Any]) -> dict[str, float]:
    if names.ndim != 1 or names.dtype.kind != "U" or densities.shape != names.shape:
        raise _mistake(path, "as many densities as names", f"{densities.shape} and {names.shape}")
    if densities.dtype != np.float64 or not ((densities >= 0) & (densities <= 1)).all():
        raise _mistake(path, "densities from 0 to 1", f"others in {densities.dtype}")
    found = {str(name): float(density) for name, density in zip(names, densities, strict=True)}
    if len(found) != names.size:
        raise _mistake(path, "each layer once", "one twice")
    return found


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise _mistake(path, f"an array {name}", "none") from None
    if entry.file_size > MAX_BYTES:
        raise _mistake(path, f"at most {MAX_BYTES:,} bytes in {name}", f"{entry.file_size:,}")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise _mistake(path, f"{name} in version 1.0 of the npy format", str(version))
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        count = int(np.prod(shape, dtype=np.float64))
        if dtype.hasobject or min(shape, default=0) < 0 or count * max(1, dtype.itemsize) > MAX_BYTES:
            raise _mistake(path, f"plain numbers or text in {name}", f"{dtype} of shape {shape}")
        data = file.read(count * dtype.itemsize)
        if len(data) != count * dtype.itemsize:
            raise _mistake(path, f"{count * dtype.itemsize:,} bytes in {name}", f"{len(data):,}")
        return np.frombuffer(data, dtype).reshape(shape)


def _mistake(path: Path, expected: str, got: str) -> FileError:
    return FileError([f"{clean(str(path))}: expected {expected}, got {got} ({_WAY_OUT})"])
