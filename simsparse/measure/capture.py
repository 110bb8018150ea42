"""Activation sparsity as it is: the nonzero share of every product's input, seen in one run.

File (``.npz``, no pickles): ``version`` 1; ``names`` (layers,) text; ``densities`` (layers,) float64, the
nonzero share of the layer's input; ``elements`` (layers,) int64, of one input; and for small inputs
``mask_<i>``, uint8, the nonzero positions of layer i in row-major order of ``shape_<i>``, packed as by
``numpy.packbits``. Layers that the workload counts as one have the mean of their densities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.activations_npz import VERSION

MASK_ELEMENTS = 1 << 20
"""Inputs up to this size keep their mask."""


@dataclass(slots=True)
class _Seen:
    nonzero: int
    elements: int
    times: int
    mask: NDArray[np.bool_] | None


@dataclass(slots=True)
class Capture:
    """What one run showed, by layer of the workload."""

    _layers: dict[str, _Seen] = field(default_factory=dict)

    def add(self, layer: str, values: NDArray[Any]) -> None:
        """Count the input of one operator; the first of a layer also gives the mask."""
        nonzero = int(np.count_nonzero(values))
        if layer in self._layers:
            seen = self._layers[layer]
            seen.nonzero, seen.elements, seen.times = (
                seen.nonzero + nonzero,
                seen.elements + values.size,
                seen.times + 1,
            )
            return
        mask = np.asarray(values != 0) if values.size <= MASK_ELEMENTS else None
        self._layers[layer] = _Seen(nonzero, values.size, 1, mask)

    @property
    def densities(self) -> dict[str, float]:
        """Nonzero share by layer."""
        return {name: seen.nonzero / max(1, seen.elements) for name, seen in self._layers.items()}

    def write(self, path: Path) -> None:
        """Write the file that the module describes.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        arrays: dict[str, Any] = {
            "version": np.array(VERSION),
            "names": np.array(list(self._layers), dtype=str),
            "densities": np.array(list(self.densities.values()), np.float64),
            "elements": np.array([seen.elements // seen.times for seen in self._layers.values()], np.int64),
        }
        for index, seen in enumerate(self._layers.values()):
            if seen.mask is not None:
                arrays[f"mask_{index}"] = np.packbits(seen.mask)
                arrays[f"shape_{index}"] = np.array(seen.mask.shape, np.int64)
        try:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)
        except OSError as error:
            raise FileError(
                [f"{path}: expected a writable file, got: {error.strerror} (choose another path)"]
            ) from None
