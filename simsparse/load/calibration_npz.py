"""Calibration data and densities of activations from an ``.npz`` file, such as a capture.

See `simsparse.pruning.calibration` for the kinds of arrays; ``<layer>/density`` beside them is a single
number, the share of non-zeros in the layer's input.
"""

from __future__ import annotations

from pathlib import Path

from simsparse.errors import FileError
from simsparse.load.npz import NpzArrays
from simsparse.load.quoting import shown
from simsparse.pruning.calibration import KINDS, Calibration


def load_calibration(source: str | Path | Calibration | None) -> Calibration | None:
    """The calibration data in an ``.npz`` file; data that are loaded already, and None, pass through.

    Raises
    ------
    FileError
        If the file cannot be read, or holds nothing of the kind.
    """
    if source is None or isinstance(source, Calibration):
        return source
    arrays = NpzArrays(source)
    if not any(name.rpartition("/")[2] in KINDS and "/" in name for name in arrays):
        raise FileError(
            [f"{source}: expected arrays named <layer>/<kind> with a kind of {', '.join(KINDS)}, got none"]
        )
    return Calibration(arrays=arrays, source=str(source))


def read_densities(path: str | Path) -> dict[str, float]:
    """The share of non-zeros in the input of each layer that the file names.

    Raises
    ------
    FileError
        If the file cannot be read, or holds no densities.
    """
    arrays = NpzArrays(path)
    names = [name.rpartition("/")[0] for name in arrays if name.endswith("/density")]
    if not names:
        raise FileError(
            [f"{path}: expected arrays named <layer>/density, got none (simsparse measure --capture)"]
        )
    found = {}
    for name in names:
        array = arrays[f"{name}/density"]
        if array.size != 1:
            raise FileError([f"{path}: {shown(name)}: expected one density, got {array.size} numbers"])
        found[name] = float(array.reshape(()))
    return found
