"""Tiles of the activation plane, dealt to a grid of PEs, and what spills when they are full.

PE (i, j) owns a rectangle of input rows and columns (only outputs have halos). A linear layer is a 1×1
convolution whose columns are dealt to the PEs in contiguous blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.dataflows.task import LayerTask
from simsparse.dataflows.tiling import ceil_div
from simsparse.errors import UsageError
from simsparse.ir import Layer
from simsparse.kernels.count_cartesian import plane_counts
from simsparse.plan import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One layer's plane on a grid of PEs; pairs are (rows, columns)."""

    images: int
    channels: int
    size: tuple[int, int]
    out: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    kernel: tuple[int, int]
    grid: tuple[int, int]

    @property
    def phases(self) -> int:
        """Residues of a position modulo the stride."""
        return self.stride[0] * self.stride[1]

    @property
    def tile(self) -> tuple[int, int]:
        """A PE's inputs, in strides."""
        rows, columns = (
            ceil_div(ceil_div(size, stride), pes)
            for size, stride, pes in zip(self.size, self.stride, self.grid, strict=True)
        )
        return rows, columns

    @property
    def outputs(self) -> IntArray:
        """(PEs,) outputs per channel and image that each PE owns."""
        sides = []
        for total, pes in zip(self.out, self.grid, strict=True):
            tile = ceil_div(total, pes)
            sides.append(np.clip(total - tile * np.arange(pes), 0, tile))
        return np.multiply.outer(sides[0], sides[1]).ravel()

    @property
    def phase_of(self) -> IntArray:
        """(kernel positions,) the phase of the inputs that each kernel position meets."""
        rows, columns = (
            np.arange(size) * dilation % stride
            for size, dilation, stride in zip(self.kernel, self.dilation, self.stride, strict=True)
        )
        return np.add.outer(rows * self.stride[1], columns).ravel()


def plane(task: LayerTask, grid: tuple[int, int]) -> Plane:
    """The plane of a task's layer.

    Raises
    ------
    UsageError
        If the grid is not made of the machine's units.
    """
    layer, conv, units = task.layer, task.layer.conv, task.hardware.units
    if grid[0] * grid[1] != units:
        raise UsageError(
            f"{task.hardware.name}: dataflow.grid: expected rows x columns = {units} units,"
            f" got {grid[0]} x {grid[1]}"
        )
    if conv is None:
        return Plane(
            images=1,
            channels=layer.groups * layer.k,
            size=(layer.n, 1),
            out=(layer.n, 1),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            kernel=(1, 1),
            grid=(units, 1),
        )
    return Plane(
        images=conv.batch,
        channels=conv.in_channels,
        size=(conv.in_height, conv.in_width),
        out=(conv.out_height, conv.out_width),
        stride=conv.stride,
        padding=conv.padding[:2],
        dilation=conv.dilation,
        kernel=(conv.kernel_height, conv.kernel_width),
        grid=grid,
    )


def activation_counts(task: LayerTask, on: Plane) -> IntArray:
    """(images, channels, phases, PEs) nonzero inputs in each PE's tile; one image where all are dense."""
    geometry = np.array([*on.stride, *on.padding, *on.tile, *on.grid], dtype=np.int64)
    if task.activations.is_dense:
        full = plane_counts(np.ones((1, 1, *on.size), dtype=np.bool_), geometry)
        return np.broadcast_to(full, (1, on.channels, *full.shape[2:]))
    tensor = task.activations.tensor.reshape(on.images, on.channels, *on.size)
    return plane_counts(np.ascontiguousarray(tensor), geometry)


def spilled(
    on: Plane,
    layer: Layer,
    inputs: IntArray,
    fullest: IntArray,
    *,
    output_share: float,
    bits: int,
    capacity_bytes: float,
) -> IntArray:
    """(images,) bytes of inputs and outputs that cross DRAM: both, where a PE's tile of either is too full.

    ``inputs`` (images,) are stored inputs and ``fullest`` (images,) those of the fullest PE, of ``bits``
    each. A share of the outputs is stored, spread evenly over the plane.
    """
    largest = int(on.outputs.max()) * layer.m * output_share
    outputs = round(layer.output_elements / on.images * output_share)
    too_full = np.maximum(fullest, largest) * bits > 8 * capacity_bytes
    return np.where(too_full, ceil_each((inputs + outputs) * bits, 8), 0)


def ceil_each(values: IntArray, by: int) -> IntArray:
    """``values / by``, each rounded up."""
    return -(-values // by)
