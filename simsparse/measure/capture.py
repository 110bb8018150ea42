"""What one run shows of each product's input: how much of it is zero, and how strong it is.

The file (``.npz``, no pickles) has for each layer

- ``<layer>/density``: the share of non-zeros in its input;
- ``<layer>/input_mask`` and ``<layer>/input_shape``: the zeros themselves, of the first operator's input, one
  bit each as `numpy.packbits` makes them, row by row over that shape, which is that of
  `simsparse.pruning.input_masks`. All of them take at most ``MOST_MASK_BYTES``; how much it will be is known
  before the run, and layers that do not fit any more go without;
- ``<layer>/input_squares`` (groups·k,): Σ x² over the columns of each row of X, as criteria take it;
- ``<layer>/gram`` (k, k), of grouped convolutions (groups, k, k), where it is asked for: X·Xᵀ.

X is the operand of the layer's product Y = W·X, for a convolution its im2col matrix, which is made one image
at a time and for the Gram matrix only. Layers that the workload counts as one are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError, ShapeError
from simsparse.ir import ConvShape, Layer
from simsparse.pruning.input_masks import MOST_MASK_BYTES, InputMask, misfit, packed_bytes
from simsparse.units import si

Array = NDArray[Any]


@dataclass(slots=True)
class _Seen:
    nonzero: int = 0
    elements: int = 0
    squares: Array | None = None
    gram: Array | None = None
    mask: InputMask | None = None


@dataclass(slots=True)
class Capture:
    """What runs showed, by layer; ``layers`` are those of the workload, ``grams`` asks for Gram matrices.

    Masks of inputs take at most ``most_mask_bytes``, none where it is 0.
    """

    layers: Mapping[str, Layer]
    grams: bool = False
    most_mask_bytes: int = MOST_MASK_BYTES
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _masked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        room, masked = self.most_mask_bytes, set()
        for layer in self._wanted():
            size = packed_bytes((layer.input_elements,))
            if size <= room:
                masked.add(layer.name)
                room -= size
        self._masked = frozenset(masked)

    def _wanted(self) -> list[Layer]:
        return [layer for layer in self.layers.values() if layer.kind.has_weights]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out for want of room."""
        left = [layer.name for layer in self._wanted() if layer.name not in self._masked]
        if not left or not self.most_mask_bytes:
            return ()
        needed = sum(packed_bytes((layer.input_elements,)) for layer in self._wanted())
        return (
            f"the capture leaves out the input masks of {', '.join(left)}: all would take {si(needed, 'B')},"
            f" and {si(self.most_mask_bytes, 'B')} is the most (capture a smaller batch)",
        )

    def add(self, name: str, values: Array) -> None:
        """Count the input of one operator of the layer called ``name``."""
        seen = self._seen.setdefault(name, _Seen())
        seen.nonzero += int(np.count_nonzero(values))
        seen.elements += values.size
        layer = self.layers.get(name)
        if layer is None or not layer.kind.has_weights:
            return
        if seen.mask is None and name in self._masked:
            seen.mask = _mask(layer, values)
        squares = _squares(layer, values)
        if squares is not None:
            seen.squares = squares if seen.squares is None else seen.squares + squares
        if self.grams:
            for columns in _operands(layer, values):
                gram = columns @ columns.transpose(0, 2, 1)
                seen.gram = gram if seen.gram is None else seen.gram + gram

    @property
    def densities(self) -> dict[str, float]:
        """Share of non-zeros by layer."""
        return {name: seen.nonzero / max(1, seen.elements) for name, seen in self._seen.items()}

    def write(self, path: Path) -> None:
        """Write the file that the module describes.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        arrays: dict[str, Array] = {}
        for name, seen in self._seen.items():
            arrays[f"{name}/density"] = np.array(seen.nonzero / max(1, seen.elements))
            if seen.mask is not None:
                arrays[f"{name}/input_mask"] = seen.mask.bits
                arrays[f"{name}/input_shape"] = np.array(seen.mask.shape, np.int64)
            if seen.squares is not None:
                arrays[f"{name}/input_squares"] = seen.squares
            if seen.gram is not None:
                arrays[f"{name}/gram"] = seen.gram[0] if len(seen.gram) == 1 else seen.gram
        try:
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise FileError(
                [f"{path}: expected a writable file, got: {error.strerror} (choose another path)"]
            ) from None


def _squares(layer: Layer, values: Array) -> Array | None:
    """Σ x² of each row of X, (groups · k,); None where the input does not look like the layer's."""
    if layer.conv is None:
        rows = _rows(layer, values)
        return None if rows is None else np.square(rows, dtype=np.float64).sum(axis=0)
    image = _padded(layer.conv, values)
    if image is None:
        return None
    np.square(image, out=image)
    taps = [image[window].sum(axis=(0, 2, 3)) for window in _windows(layer.conv, image.shape)]
    return np.stack(taps, axis=1).reshape(-1)


def _operands(layer: Layer, values: Array) -> Iterator[Array]:
    """X as (groups, k, columns), in float64, image by image."""
    if layer.conv is None:
        rows = _rows(layer, values)
        if rows is not None:
            yield rows.T.astype(np.float64)[None]
        return
    image = _padded(layer.conv, values)
    for one in () if image is None else image:
        taps = [one[None][window] for window in _windows(layer.conv, (1, *one.shape))]
        yield np.stack(taps, axis=2).reshape(layer.groups, layer.k, -1)


def _mask(layer: Layer, values: Array) -> InputMask | None:
    """Non-zeros of the input, features last; None where it does not look like the layer's."""
    shaped: Array | None = values
    if layer.conv is None and values.shape[-1:] != (layer.k,):
        shaped = _rows(layer, values)
    try:
        fits = shaped is not None and not misfit(shaped.shape, layer)
    except ShapeError:
        return None
    return InputMask.of(shaped != 0) if shaped is not None and fits else None


def _rows(layer: Layer, values: Array) -> Array | None:
    """The input of a linear layer as (columns of X, k)."""
    if values.ndim and values.shape[-1] == layer.k and layer.groups == 1:
        return values.reshape(-1, layer.k)
    return values.T if values.ndim == 2 and values.shape[0] == layer.k else None


def _padded(conv: ConvShape, values: Array) -> Array | None:
    """Images (batch, channels, height, width) in float64 with their border of zeros."""
    image = values[:, :, None] if values.ndim == 3 else values
    if image.ndim != 4 or image.shape[1] != conv.in_channels:
        return None
    top, left, bottom, right = conv.padding
    return np.pad(image.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))


def _windows(conv: ConvShape, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """What each kernel position sees of a padded image, row by row of the kernel."""
    (down, along), (deep, wide) = conv.stride, conv.dilation
    out = [
        (size - (kernel - 1) * apart - 1) // step + 1
        for size, kernel, apart, step in zip(
            shape[2:], (conv.kernel_height, conv.kernel_width), conv.dilation, conv.stride, strict=True
        )
    ]
    for r in range(conv.kernel_height):
        for s in range(conv.kernel_width):
            rows = slice(r * deep, r * deep + down * (out[0] - 1) + 1, down)
            columns = slice(s * wide, s * wide + along * (out[1] - 1) + 1, along)
            yield slice(None), slice(None), rows, columns
