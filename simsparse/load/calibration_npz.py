"""Calibration data from an ``.npz`` file, such as a capture.

See `simsparse.pruning.calibration` for the kinds of arrays.
"""

from __future__ import annotations

from pathlib import Path

from simsparse.errors import FileError
from simsparse.load.npz import NpzArrays
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
