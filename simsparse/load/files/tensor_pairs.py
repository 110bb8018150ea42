"""Weights that a checkpoint holds in several tensors: pruning pairs and compressed matrices, put together.

``torch.nn.utils.prune`` leaves ``NAME_orig`` and ``NAME_mask``; the weight is their product. The legacy
layouts of compressed-tensors leave ``compressed`` (the kept values), ``bitmask`` (one bit a weight, lowest
first, rows padded to bytes), ``shape`` and, where rows keep different numbers of weights, ``row_offsets``.

Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html and
https://github.com/neuralmagic/compressed-tensors, compressors sparse_bitmask and sparse_24_bitmask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simsparse.errors import FileError
from simsparse.load.files.tensor_source import Array, Mask, Shape, TensorSource
from simsparse.load.graph import shape_text
from simsparse.load.onnx_text import clean

_ORIGINAL, _MASK = "_orig", "_mask"
_PARTS = ("compressed", "bitmask", "shape", "row_offsets")
_AXES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedTensor:
    """``original`` where ``mask`` is not zero."""

    original: TensorSource
    mask: TensorSource

    @property
    def shape(self) -> Shape:
        """Sizes of both."""
        return self.original.shape

    def values(self) -> Array:
        """The original's values, zero where the mask is."""
        kept, values = self.mask.nonzero(), self.original.values()
        return np.where(kept, values, np.zeros((), values.dtype))

    def nonzero(self) -> Mask:
        """True where neither is zero."""
        kept = self.mask.nonzero()
        return np.logical_and(kept, self.original.nonzero(), out=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class BitmaskTensor:
    """A matrix of which the kept values are stored in order, and a bit for each position."""

    name: str
    shape: Shape
    compressed: TensorSource
    bitmask: TensorSource
    row_offsets: TensorSource | None = None

    def kept(self) -> Mask:
        """The positions that are stored.

        Raises
        ------
        FileError
            If their number, or where rows start, contradicts the stored values.
        """
        packed = self.bitmask.values().view(np.uint8)
        kept = np.unpackbits(packed, axis=1, count=self.shape[1], bitorder="little").view(np.bool_)
        counts = np.count_nonzero(kept, axis=1)
        stored = math.prod(self.compressed.shape)
        if int(counts.sum()) != stored:
            raise self._mistake(f"{stored:,} bits set, one for each stored value", f"{int(counts.sum()):,}")
        if self.row_offsets is not None:
            starts = np.cumsum(counts) - counts
            if not np.array_equal(self.row_offsets.values().reshape(-1), starts):
                raise self._mistake("row offsets that follow from the bits", "others")
        return kept

    def values(self) -> Array:
        """The dense matrix."""
        kept, stored = self.kept(), self.compressed.values().reshape(-1)
        dense = np.zeros(self.shape, stored.dtype)
        dense[kept] = stored
        return dense

    def nonzero(self) -> Mask:
        """True where a value is stored that is not zero."""
        kept, stored = self.kept(), self.compressed.nonzero().reshape(-1)
        if not stored.all():
            kept[kept] = stored
        return kept

    def _mistake(self, expected: str, got: str) -> FileError:
        return FileError([f"tensor {clean(self.name)}: expected {expected}, got {got} (compress it again)"])


def join_pairs(tensors: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """The tensors with each group that makes one weight replaced by that weight, under its own name.

    Raises
    ------
    FileError
        If the parts of a group do not fit each other.
    """
    joined: dict[str, TensorSource] = {}
    used: set[str] = set()
    for name, tensor in tensors.items():
        if name.endswith(_ORIGINAL) and (whole := name.removesuffix(_ORIGINAL)) + _MASK in tensors:
            joined[whole] = _masked(whole, tensor, tensors[whole + _MASK])
            used |= {name, whole + _MASK}
        elif name.endswith(".compressed") and name.removesuffix("compressed") + "bitmask" in tensors:
            prefix = name.removesuffix(".compressed")
            whole = prefix if prefix.endswith(".weight") else f"{prefix}.weight"
            joined[whole] = _bitmask(whole, prefix, tensors)
            used |= {f"{prefix}.{part}" for part in _PARTS}
    return {name: tensor for name, tensor in tensors.items() if name not in used} | joined


def _masked(name: str, original: TensorSource, mask: TensorSource) -> MaskedTensor:
    if original.shape != mask.shape:
        expected, got = shape_text(original.shape), shape_text(mask.shape)
        out = "save the pruned model again"
        raise FileError([f"tensor {clean(name)}{_MASK}: expected shape {expected}, got {got} ({out})"])
    return MaskedTensor(original=original, mask=mask)


def _bitmask(name: str, prefix: str, tensors: Mapping[str, TensorSource]) -> BitmaskTensor:
    found = {part: tensors.get(f"{prefix}.{part}") for part in _PARTS}
    compressed, bitmask, sizes = (found[part] for part in _PARTS[:3])

    def wrong(part: str, expected: str, got: str) -> FileError:
        return FileError(
            [f"tensor {clean(prefix)}.{part}: expected {expected}, got {got} (compress it again)"]
        )

    if compressed is None or bitmask is None or sizes is None:
        raise wrong("shape", "the sizes of the matrix beside compressed and bitmask", "no such tensor")
    if math.prod(sizes.shape) != _AXES:
        raise wrong("shape", "two sizes", shape_text(sizes.shape))
    declared = sizes.values()
    if declared.dtype.kind not in "iu":
        raise wrong("shape", "whole numbers", str(declared.dtype))
    rows, columns = (int(size) for size in declared.reshape(-1))
    expected = (rows, -(-columns // 8))
    # the bits are in the file, so a matrix that fits them is never larger than eight times the file
    if min(rows, columns) < 1 or bitmask.shape != expected or bitmask.values().dtype.itemsize != 1:
        raise wrong("bitmask", f"bytes of shape {shape_text(expected)}", shape_text(bitmask.shape))
    offsets = found["row_offsets"]
    if offsets is not None and math.prod(offsets.shape) != rows:
        raise wrong("row_offsets", f"{rows:,} offsets", shape_text(offsets.shape))
    return BitmaskTensor(
        name=name, shape=(rows, columns), compressed=compressed, bitmask=bitmask, row_offsets=offsets
    )
