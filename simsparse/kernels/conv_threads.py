"""Planes of depthwise convolutions, strips of dense ones and channels without their stride, on threads.

Apart because parallel compilation takes long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from simsparse.kernels._jit import threaded_kernel
from simsparse.kernels.conv_channels import Geometry as ChannelGeometry
from simsparse.kernels.conv_channels import channels_share
from simsparse.kernels.conv_depthwise import Geometry, depthwise_share
from simsparse.kernels.conv_direct import direct_share
from simsparse.kernels.conv_flat import Floats, flat_share
from simsparse.kernels.conv_split import sample_image, split_image
from simsparse.kernels.conv_stream import Geometry as StreamGeometry
from simsparse.kernels.conv_stream import stream_share


@threaded_kernel
def depthwise_shares(
    wide: Any,
    narrow: Any,
    two: Any,
    bounds: NDArray[np.int64],
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    geometry: Geometry,
    x: Floats,
    y: Floats,
    tiles: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``bounds[t]``..``bounds[t + 1]`` on thread t, each with its own tile."""
    for t in prange(bounds.size - 1):
        operands = (panels, taps, geometry, x, y, tiles[t], bias, residual, activation)
        depthwise_share(wide, narrow, two, bounds[t], bounds[t + 1], *operands)


@threaded_kernel
def flat_shares(
    wide: Any,
    narrow: Any,
    bounds: NDArray[np.int64],
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    tables: tuple[int, int],
    multiplier: int,
    x: Floats,
    y: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``bounds[t]``..``bounds[t + 1]`` of Y on thread t."""
    for t in prange(bounds.size - 1):
        operands = (panels, taps, tables, multiplier, x, y, bias, residual, activation)
        flat_share(wide, narrow, bounds[t], bounds[t + 1], *operands)


@threaded_kernel
def channel_shares(
    w: Any,
    some: Any,
    square: Any,
    bounds: NDArray[np.int64],
    values: int,
    geometry: ChannelGeometry,
    rooms: tuple[int, int],
    x: Floats,
    y: Floats,
    tiles: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Groups ``bounds[t]``..``bounds[t + 1]`` of channels on thread t, each with its own tiles."""
    for t in prange(bounds.size - 1):
        operands = (values, geometry, rooms, x, y, tiles[t], bias, residual, activation)
        channels_share(w, some, square, bounds[t], bounds[t + 1], *operands)


@threaded_kernel
def stream_shares(
    w: Any,
    bounds: NDArray[np.int64],
    values: int,
    edges: int,
    geometry: StreamGeometry,
    x: Floats,
    y: Floats,
    tiles: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``bounds[t]``..``bounds[t + 1]`` of x on thread t, each with its own room for copied rows."""
    for t in prange(bounds.size - 1):
        operands = (values, edges, geometry, x, y, tiles[t], bias, residual, activation)
        stream_share(w, bounds[t], bounds[t + 1], *operands)


@threaded_kernel
def direct_shares(
    wide: Any,
    narrow: Any,
    two: Any,
    bounds: NDArray[np.int64],
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    geometry: Geometry,
    size: int,
    x: Floats,
    y: Floats,
    tiles: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Strips ``bounds[t]``..``bounds[t + 1]`` of x on thread t, each with its own tile."""
    for t in prange(bounds.size - 1):
        operands = (panels, taps, geometry, size, x, y, tiles[t], bias, residual, activation)
        direct_share(wide, narrow, two, bounds[t], bounds[t + 1], *operands)


@threaded_kernel
def split_shares(
    two: Any, bounds: NDArray[np.int64], x: Floats, parts: Floats, height: int, width: int, part: int
) -> None:
    """``split_image`` of channels ``bounds[t]``..``bounds[t + 1]`` on thread t."""
    for t in prange(bounds.size - 1):
        split_image(two, bounds[t], bounds[t + 1], x, parts, height, width, part)


@threaded_kernel
def sample_shares(
    two: Any,
    bounds: NDArray[np.int64],
    x: Floats,
    y: Floats,
    height: int,
    width: int,
    down: int,
    step: int,
) -> None:
    """``sample_image`` of channels ``bounds[t]``..``bounds[t + 1]`` on thread t."""
    for t in prange(bounds.size - 1):
        sample_image(two, bounds[t], bounds[t + 1], x, y, height, width, down, step)
