"""What a dataflow is given (a task) and what it gives back (a layer plan)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.hardware import DTYPE_BITS, FormatSupport, HardwareModel
from simsparse.ir import Layer
from simsparse.kernels.count_gpu import kept_blocks
from simsparse.kernels.count_mask import column_counts, row_counts
from simsparse.kernels.count_windows import window_columns, window_counts, window_union
from simsparse.plan import FloatArray, IntArray, Plan
from simsparse.results import Counts

if TYPE_CHECKING:
    from simsparse.formats.base import Footprint, SparseFormat

BoolArray = NDArray[np.bool_]


class WeightOperand:
    """The positions kept in W, shape (m, k). ``mask`` None means that nothing was removed.

    Counts are computed from the actual mask when first asked for, and in closed form when it is dense.
    """

    def __init__(self, m: int, k: int, mask: BoolArray | None = None) -> None:
        if mask is not None and mask.shape != (m, k):
            raise ShapeError(f"weight mask: expected shape {(m, k)}, got {mask.shape}")
        self.m, self.k, self.mask = m, k, mask
        self._counted: dict[tuple[object, ...], tuple[IntArray, FloatArray]] = {}
        self._footprints: dict[tuple[SparseFormat, int], Footprint] = {}

    @cached_property
    def nnz(self) -> int:
        """Kept weights."""
        return self.m * self.k if self.mask is None else int(np.count_nonzero(self.mask))

    @property
    def density(self) -> float:
        """Kept share."""
        return self.nnz / (self.m * self.k)

    @cached_property
    def row_nnz(self) -> IntArray:
        """(m,) kept weights of each row."""
        return np.full(self.m, self.k, dtype=np.int64) if self.mask is None else row_counts(self.mask)

    def column_nnz(self, groups: int = 1) -> IntArray:
        """(groups, k) kept weights of each column within each block of m/groups rows."""
        rows = self.m // groups
        if self.mask is None:
            return np.full((groups, self.k), rows, dtype=np.int64)
        return np.stack([column_counts(self.mask[g * rows : (g + 1) * rows]) for g in range(groups)])

    def footprint(self, format: SparseFormat, value_bits: int) -> Footprint:  # noqa: A002
        """Bits of these weights in a format, counted once for all machines that read it.

        Raises
        ------
        FormatError
            If the format cannot hold them.
        """
        key = (format, value_bits)
        if key not in self._footprints:
            self._footprints[key] = format.footprint(self.dense_mask, value_bits=value_bits)
        return self._footprints[key]

    def counted(
        self,
        count: Callable[[BoolArray, IntArray, int], tuple[IntArray, FloatArray]],
        starts: IntArray,
        block: int,
    ) -> tuple[IntArray, FloatArray]:
        """``count(mask, starts, block)``, worked out once for each set of arguments."""
        key = (count, starts.tobytes(), block)
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = count(self.dense_mask, starts, block)
        return found

    def tall_blocks(self, rows: int) -> IntArray:
        """(block rows,) blocks of ``rows`` x 1 that hold a kept weight."""
        return self.counted(_block_counts, np.zeros(0, dtype=np.int64), rows)[0]

    @property
    def dense_mask(self) -> BoolArray:
        """The mask as an array, also when dense."""
        return np.ones((self.m, self.k), dtype=np.bool_) if self.mask is None else self.mask


def _block_counts(mask: BoolArray, _: IntArray, rows: int) -> tuple[IntArray, FloatArray]:
    return kept_blocks(mask, rows, 1).sum(axis=1), np.zeros(0)


class ActivationOperand:
    """The nonzeros of a layer's input: ``mask`` (k, n), the input ``tensor`` itself, or only a density.

    The tensor is (batch, channels, height, width) for a convolution, else (groups·k, n); without a zero it is
    the same as a density of one.

    A stated density below one is realised as a seeded mask over the input tensor with exactly that many
    nonzeros; a convolution's (k, n) view is gathered from it, so that one zero input is a zero wherever its
    windows meet it. ``output_density`` is the share of outputs that are nonzero after the layer's activation
    function, for machines that store them compressed; unknown, it is taken as that of the input.
    """

    def __init__(
        self,
        layer: Layer,
        *,
        density: float = 1.0,
        seed: int = 0,
        mask: BoolArray | None = None,
        tensor: BoolArray | None = None,
        output_density: float | None = None,
    ) -> None:
        if not 0.0 <= density <= 1.0:
            raise ShapeError(f"layer {layer.name}: activation density: expected 0 to 1, got {density:g}")
        _expect_shape(layer, mask, (layer.groups * layer.k, layer.n))
        _expect_shape(layer, tensor, _input_shape(layer))
        if tensor is not None:
            density = float(np.count_nonzero(tensor)) / tensor.size
            self.tensor = tensor
        self._layer, self._density, self._seed, self._mask = layer, density, seed, mask
        self._output_density = output_density

    @property
    def is_dense(self) -> bool:
        """Whether every activation is nonzero."""
        return self._mask is None and self._density >= 1.0

    @cached_property
    def density(self) -> float:
        """Share of nonzero activations."""
        return self._density if self._mask is None else float(np.count_nonzero(self._mask)) / self._mask.size

    @property
    def output_density(self) -> float:
        """Share of nonzero outputs after the activation function."""
        return self.density if self._output_density is None else self._output_density

    @cached_property
    def tensor(self) -> BoolArray:
        """Nonzeros of the input tensor, (batch, channels, height, width), or (groups·k, n) without a conv.

        Given, or seeded where only a density is stated. From a (k, n) mask of a convolution an input counts
        as nonzero where any window meets it so; inputs that no window meets are zero.
        """
        layer, conv = self._layer, self._layer.conv
        if self._mask is not None and conv is not None:
            sizes = np.array([conv.batch, conv.in_channels, conv.in_height, conv.in_width], dtype=np.int64)
            return window_union(self._mask, sizes, self._geometry)
        if self._mask is not None:
            return self._mask
        shape = _input_shape(layer)
        size = int(np.prod(shape))
        flat = np.zeros(size, dtype=np.bool_)
        keep = round(self._density * size)
        generator = np.random.default_rng([self._seed, 0xAC7])
        flat[:keep] = True
        generator.shuffle(flat)
        return flat.reshape(shape)

    @property
    def is_masked(self) -> bool:
        """Whether the (k, n) mask was given rather than drawn."""
        return self._mask is not None

    @cached_property
    def row_nnz(self) -> IntArray:
        """(groups, k) nonzero activations that meet each column of W, over the n output columns."""
        layer = self._layer
        if self._mask is not None:
            return row_counts(self._mask).reshape(layer.groups, layer.k)
        if self.is_dense:
            return np.full((layer.groups, layer.k), layer.n, dtype=np.int64)
        if layer.conv is None:
            return row_counts(self.tensor).reshape(layer.groups, layer.k)
        return window_counts(self.tensor, self._geometry).reshape(layer.groups, layer.k)

    def columns(self, group: int) -> BoolArray:
        """(n, k) nonzeros that each output column of ``group`` meets, for broadcast dataflows."""
        layer = self._layer
        if self.is_dense:
            return np.ones((layer.n, layer.k), dtype=np.bool_)
        rows = slice(group * layer.k, (group + 1) * layer.k)
        if self._mask is not None:
            return np.ascontiguousarray(self._mask[rows].T)
        if layer.conv is None:
            return np.ascontiguousarray(self.tensor[rows].T)
        channels = layer.conv.in_channels // layer.groups
        part = np.ascontiguousarray(self.tensor[:, group * channels : (group + 1) * channels])
        return window_columns(part, self._geometry)

    @property
    def _geometry(self) -> IntArray:
        conv = self._layer.conv
        if conv is None:
            raise ShapeError(f"layer {self._layer.name}: expected a convolution")
        sizes = (conv.kernel_height, conv.kernel_width, conv.out_height, conv.out_width)
        return np.array([*sizes, *conv.stride, *conv.padding[:2], *conv.dilation], dtype=np.int64)


def _input_shape(layer: Layer) -> tuple[int, ...]:
    conv = layer.conv
    if conv is None:
        return layer.groups * layer.k, layer.n
    return conv.batch, conv.in_channels, conv.in_height, conv.in_width


def _expect_shape(layer: Layer, given: BoolArray | None, shape: tuple[int, ...]) -> None:
    if given is not None and given.shape != shape:
        raise ShapeError(f"layer {layer.name}: activation mask: expected shape {shape}, got {given.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTask:
    """A product layer to be planned on a machine, with its weights in one storage format."""

    layer: Layer
    hardware: HardwareModel
    weights: WeightOperand
    activations: ActivationOperand
    format: SparseFormat
    support: FormatSupport
    footprint: Footprint
    dtype: str
    ignore_capacity: bool = False
    """Time the layer as if its weights fitted; for dense baselines of machines that keep all weights on
    chip.
    """

    @property
    def value_bits(self) -> int:
        """Bits of one value."""
        return DTYPE_BITS[self.dtype]

    def activation_bytes(self, elements: int) -> int:
        """Bytes of ``elements`` activations in the task's dtype."""
        return -(-elements * self.value_bits // 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """A plan, and what the engine does not see: MACs by fate, on-chip accesses, the kernel's name.

    ``macs_done + macs_gated + macs_skipped`` is the dense MAC count. Bytes that cross a channel are counted
    by the engine as ``(channel name, "byte")`` and must not be in ``counts``.
    """

    plan: Plan
    kernel: str
    macs_done: int
    macs_gated: int = 0
    macs_skipped: int = 0
    counts: Counts = field(default_factory=Counts)
    weight_bytes: int
    metadata_bytes: int
    time_factor: float = 1.0
    """Calibrated control overhead that multiplies the engine's time; 1 where the machine has none."""
    notes: tuple[str, ...] = ()


def effectual_macs(weights: WeightOperand, activations: ActivationOperand, groups: int) -> int:
    """Products whose weight and activation are both nonzero: Σ over groups and k of column × row counts."""
    if activations.is_dense:
        row = activations.row_nnz
        return weights.nnz * int(row[0, 0]) if row.size else 0
    return int(np.sum(weights.column_nnz(groups) * activations.row_nnz))
