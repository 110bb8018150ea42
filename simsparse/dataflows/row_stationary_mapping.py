"""Mapping of a convolution to a row-stationary array: active PEs, and what the global buffer holds at once.

A set of ``kernel rows × strip`` PEs makes ``strip`` output rows of one filter and channel. Sets are put side
by side; a strip wider than the array is folded where that many kernel rows fit. Partial sums of ``filters``
filters and ``images`` images of a strip stay in the global buffer while all channels pass, so filters are
read again for each strip and each group of images, and inputs for each group of filters.

Source: Chen et al., Eyeriss, IEEE JSSC 52(1), 2017, section IV. The division of sets between channels and
filters is ours; with it the active PEs, DRAM and buffer accesses that the paper publishes for AlexNet follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt

from simsparse.dataflows.tiling import ceil_div
from simsparse.errors import UnsupportedError
from simsparse.hardware import RowStationaryParameters
from simsparse.ir import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class RowConv:
    """One group of a layer as the array sees it; a linear layer is 1×1 over ``batch`` images of one pixel."""

    groups: int
    filters: int
    channels: int
    batch: int
    kernel: tuple[int, int]
    out: tuple[int, int]
    stride: int
    height: int
    width: int

    @classmethod
    def of(cls, layer: Layer) -> RowConv:
        """The convolution of a product layer."""
        conv, filters = layer.conv, layer.m // layer.groups
        if conv is None:
            return cls(
                groups=layer.groups,
                filters=filters,
                channels=layer.k,
                batch=layer.n,
                kernel=(1, 1),
                out=(1, 1),
                stride=1,
                height=1,
                width=1,
            )
        return cls(
            groups=layer.groups,
            filters=filters,
            channels=conv.in_channels // layer.groups,
            batch=conv.batch,
            kernel=(conv.kernel_height, conv.kernel_width),
            out=(conv.out_height, conv.out_width),
            stride=conv.stride[0],
            height=conv.in_height,
            width=conv.in_width,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """How a layer lies on the array and in the global buffer."""

    strip: int
    """Output rows made at once."""
    strips: int
    channel_sets: int
    filter_sets: int
    """Sets of PEs side by side that work on other channels, and on other filters."""
    channels_per_pe: int
    filters_per_pe: int
    active_pes: int
    filters: int
    """Filters whose partial sums the buffer holds; 0 where not even the smallest tile fits."""
    images: int

    @property
    def pass_filters(self) -> int:
        """Filters of one pass over the array."""
        return self.filter_sets * self.filters_per_pe

    @property
    def pass_channels(self) -> int:
        """Channels of one pass."""
        return self.channel_sets * self.channels_per_pe

    def strip_rows(self, conv: RowConv) -> int:
        """Input rows under a strip, halo included."""
        return min((self.strip - 1) * conv.stride + conv.kernel[0], conv.height)

    def input_reads(self, conv: RowConv) -> float:
        """How often an input crosses DRAM: once per group of filters, and again in the halos of strips."""
        halo = self.strips * self.strip_rows(conv) / conv.height if self.strips > 1 else 1.0
        return ceil_div(conv.filters, self.filters) * max(halo, 1.0)

    def weight_reads(self, conv: RowConv) -> int:
        """How often a weight crosses DRAM: once per strip and group of images."""
        return self.strips * ceil_div(conv.batch, self.images)


def mapping(
    conv: RowConv, array: RowStationaryParameters, value_bytes: float, dram_bytes_per_cycle: float
) -> Mapping:
    """The mapping with the least sum of compute and dense DRAM cycles; zeros are not known when it is chosen.

    Raises
    ------
    UnsupportedError
        If the kernel is taller than the array, wider than a PE holds, or no tile fits the global buffer.
    """
    if conv.kernel[0] > array.array[0] or conv.kernel[1] >= array.input_entries:
        raise UnsupportedError(
            f"kernels of at most {array.array[0]} x {array.input_entries - 1} fit the array,"
            f" this one is {conv.kernel[0]} x {conv.kernel[1]}"
        )
    found = []
    for strip, sets in _strips(conv, array):
        placed = _placed(conv, array, strip, sets)
        found += _buffered(conv, array, placed, value_bytes)
    if not found:
        raise UnsupportedError("the partial sums of one output row and filter exceed the global buffer")
    values_per_cycle = dram_bytes_per_cycle / value_bytes
    return min(found, key=lambda option: _preference(option, conv, values_per_cycle))


def _strips(conv: RowConv, array: RowStationaryParameters) -> list[tuple[int, int]]:
    """(strip, sets of PEs that fit) to choose from."""
    rows, columns = array.array
    options = {min(columns // parts, conv.out[0]) for parts in range(1, columns + 1)}
    found = [(strip, (rows // conv.kernel[0]) * (columns // strip)) for strip in sorted(options)]
    folds = ceil_div(conv.out[0], columns)
    if folds > 1 and rows // (conv.kernel[0] * folds):
        found.append((conv.out[0], rows // (conv.kernel[0] * folds)))
    return found


def _placed(conv: RowConv, array: RowStationaryParameters, strip: int, sets: int) -> Mapping:
    """Sets divided evenly between channels and filters, as far as there are that many."""
    channels = min((array.input_entries - 1) // conv.kernel[1], conv.channels)
    filters = min(array.filters_per_pe, conv.filters)
    most_channels, most_filters = ceil_div(conv.channels, channels), ceil_div(conv.filters, filters)
    channel_sets = min(isqrt(sets), most_channels)
    filter_sets = min(sets // channel_sets, most_filters)
    channel_sets = min(sets // filter_sets, most_channels)
    return Mapping(
        strip=strip,
        strips=ceil_div(conv.out[0], strip),
        channel_sets=channel_sets,
        filter_sets=filter_sets,
        channels_per_pe=channels,
        filters_per_pe=filters,
        active_pes=conv.kernel[0] * strip * channel_sets * filter_sets,
        filters=0,
        images=0,
    )


def _buffered(
    conv: RowConv, array: RowStationaryParameters, placed: Mapping, value_bytes: float
) -> list[Mapping]:
    """For each number of images, the most filters whose partial sums fit beside the inputs of a pass."""
    found = []
    step = placed.pass_filters
    for images in sorted({conv.batch, *(2**i for i in range(conv.batch.bit_length()))}):
        inputs = images * placed.pass_channels * placed.strip_rows(conv) * conv.width * value_bytes
        sums = images * placed.strip * conv.out[1] * value_bytes
        fit = max(int((array.buffer_bytes - inputs) // sums), 0)
        filters = conv.filters if fit >= conv.filters else fit // step * step or fit
        if filters:
            found.append(replace(placed, filters=filters, images=images))
    return found


def _preference(option: Mapping, conv: RowConv, values_per_cycle: float) -> tuple[float, int]:
    positions = conv.kernel[0] * conv.kernel[1]
    weights, inputs = conv.filters * conv.channels * positions, conv.channels * conv.height * conv.width
    traffic = weights * option.weight_reads(conv) + inputs * conv.batch * option.input_reads(conv)
    rows = option.strips * option.strip
    macs = conv.batch * conv.filters * conv.channels * positions * conv.out[1] * rows
    return macs / option.active_pes + traffic / values_per_cycle, -option.images
