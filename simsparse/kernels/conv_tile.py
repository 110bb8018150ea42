"""Implicit im2col: the tile of X gathered straight from an image, +0 where a window is beyond its border.

Row ``channel · taps + tap`` of the im2col matrix is one channel's plane, seen through one tap of the window.
Where output rows are as long as input rows and the stride is 1, neighbouring outputs see neighbouring inputs,
across ends of rows too, but for the lanes that look over the border: a tap's row is the plane shifted by a
constant, loaded under a mask, as cheap as a copy. Stride 2 becomes that too where ``conv_split`` sorts the
image first. Everything else gathers by a table of element numbers, about three times slower.

Tables are per tap and position, the same for all channels and images: taps go outside, so that a tap's masks
stay in registers while some channels go by, as many as stay in L1 for the next tap.

Limit. A vector is one load, of which half straddle two lines, and one store: 1 cycle in L1. But a tile of a
whole K is larger, so that each line of it comes from L2 and goes there: 2 cycles per vector more. Smaller
blocks of K would read and write Y more often, which takes longer.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels.conv_simd import gather_where, lanes_where, load_where
from simsparse.kernels.simd_emit import apart
from simsparse.kernels.simd_memory import load, store
from simsparse.kernels.simd_ops import compile_apart, floats
from simsparse.kernels.simd_scalar import peek_i32, peek_i64

WINDOW_FIELDS = ("taps", "lanes", "positions", "shifts", "masks", "numbers", "ragged")
"""What the int64 record of a window holds: lanes per mask, positions padded to lanes, addresses of tables.

``shifts``: (taps,) int64 bytes from an output position to its input; 0 where planes are gathered.
``masks``: (taps, positions / lanes) uint16. ``numbers``: (taps, positions) int32 elements of a plane.
``ragged``: (taps, positions / lanes + 1) int32, how many masks of a tap before this one leave lanes out.
"""

CHANNELS = 32
"""At a time: with 3x3 taps they take 6 to 14 lines each."""


@apart
def fill_window(
    w: Any, window: int, image: int, plane: int, start: int, done: int, rows: int, tile: int
) -> None:
    """Rows ``done``.. of the im2col matrix at positions ``start``.., into a dense tile.

    ``plane`` is the bytes from one channel of the image to the next.
    """
    compile_apart()
    taps, lanes, positions = peek_i64(window), peek_i64(window + 8), peek_i64(window + 16)
    shifts, masks, numbers = peek_i64(window + 24), peek_i64(window + 32), peek_i64(window + 40)
    ragged = peek_i64(window + 48)
    step, vectors = floats(w) * 4, floats(w) // lanes
    first, first_tap = done // taps, done % taps
    last, last_tap = (done + rows) // taps, (done + rows) % taps
    for low in range(first, last + (last_tap > 0), CHANNELS):
        for tap in range(taps):
            channel, end = low, min(low + CHANNELS, last + (tap < last_tap))
            if low == first and tap < first_tap:
                channel += 1
            target = tile + (channel * taps + tap - done) * step
            source = image + channel * plane
            if shifts == 0:
                kept = lanes_where(w, masks + 2 * ((tap * positions + start) // lanes))
                picked = numbers + 4 * (tap * positions + start)
                for _ in range(channel, end):
                    store(target, gather_where(source, picked, kept))
                    source += plane
                    target += taps * step
                continue
            source += 4 * start + peek_i64(shifts + 8 * tap)
            before = ragged + 4 * ((tap * (positions + lanes) + start) // lanes)
            if peek_i32(before) == peek_i32(before + 4 * vectors):
                for _ in range(channel, end):
                    store(target, load(w, source))
                    source += plane
                    target += taps * step
            else:
                kept = lanes_where(w, masks + 2 * ((tap * positions + start) // lanes))
                for _ in range(channel, end):
                    store(target, load_where(source, kept))
                    source += plane
                    target += taps * step
