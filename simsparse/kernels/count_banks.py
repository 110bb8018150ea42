"""Cycles lost where products of one cycle meet in the same accumulator bank.

A bank takes one product per cycle, and some wait in front of it. A step of the multipliers ends once no more
of its products wait than the queues hold: with ``waiting`` products per bank, those of the step included, it
takes ``max(1, max(waiting) - queue)`` cycles.

The bank of output channel k at row y and column x is
``((k & 4) << 2 ^ (x & 2) << 3 ^ (y & 2) << 3) + ((x & 1) << 3) + ((y & 1) << 2) + (k & 3)``, modulo the
banks. Its parts that hold k and (y, x) share no bit but the highest, so they are worked out apart and joined
by ``^``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

_NOWHERE = 32  # above every hash

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@kernel
def bank_cycles(
    mask: BoolArray,
    tensor: BoolArray,
    geometry: IntArray,
    sizes: IntArray,
    stretches: IntArray,
    longest: int,
) -> tuple[int, int]:
    """(cycles, steps) of stretches of a machine that forms all products of two vectors in a step.

    ``mask`` is (m, k), ``tensor`` (batch, channels, height, width). ``geometry`` holds stride, padding, tile,
    grid, kernel, dilation and outputs, each as (rows, columns); ``sizes`` holds groups, output channels of a
    block, weights and activations of a vector, banks, and the products that wait in front of one. Stretches
    are (image, PE, group, block, first channel); each starts with empty queues and runs on through channels
    for ``longest`` steps, or to the end of its block.
    """
    groups, block = sizes[0], sizes[1]
    channels, rows = tensor.shape[1] // groups, mask.shape[0] // groups
    phases = geometry[0] * geometry[1]
    waiting = np.zeros(sizes[4] + 1, dtype=np.int32)  # one more for products without an output
    weights = np.empty((block * geometry[8] * geometry[9], 2), dtype=np.int64)
    inputs = np.empty(phases * geometry[4] * geometry[5], dtype=np.int64)
    hashes, positions = _hashes(geometry), _positions(geometry)
    bank_of = np.arange(2 * _NOWHERE) % sizes[4]
    bank_of[_NOWHERE:] = sizes[4]  # where products are dropped
    cycles = steps = 0
    for s in range(len(stretches)):
        image, pe, group, index, first = stretches[s]
        low = group * rows + index * block
        high = min(low + block, (group + 1) * rows)
        waiting[:] = 0
        left = longest
        for channel in range(first, channels):
            plane = tensor[image, group * channels + channel]
            for phase in range(phases):
                n_weights = _weights(weights, mask, low, high, channel, phase, positions)
                n_inputs = _inputs(inputs, plane, pe, phase, geometry) if n_weights else 0
                taken, done = _meet(
                    weights[:n_weights], inputs[:n_inputs], waiting, hashes, bank_of, sizes, left
                )
                cycles += taken
                steps += done
                left -= done
            if left == 0:
                break
    return cycles, steps


@kernel
def _reach(geometry: IntArray) -> tuple[int, int]:
    """Rows and columns that an output lies before its input at most, in strides."""
    return (geometry[8] - 1) * geometry[10] // geometry[0], (geometry[9] - 1) * geometry[11] // geometry[1]


@kernel
def _hashes(geometry: IntArray) -> NDArray[np.uint8]:
    """What an output's position gives to the hash, by place: see `_place`; ``_NOWHERE`` off the plane."""
    up, before = _reach(geometry)
    rows, columns = geometry[12], geometry[13]
    height = geometry[0] * geometry[4] * geometry[6] + geometry[2]
    width = _width(geometry)
    out = np.full((up + height) * width, _NOWHERE, dtype=np.uint8)
    for y in range(min(rows, height)):
        for x in range(min(columns, width - before)):
            out[(y + up) * width + x + before] = ((y ^ x) & 2) << 3 | (x & 1) << 3 | (y & 1) << 2
    return out


@kernel
def _width(geometry: IntArray) -> int:
    """Places of a row."""
    return int(_reach(geometry)[1] + geometry[1] * geometry[5] * geometry[7] + geometry[3])


@kernel
def _positions(geometry: IntArray) -> IntArray:
    """(kernel positions, 2) phase of the inputs that each meets, places that the output lies before."""
    sh, sw, kh, kw, dh, dw = geometry[0], geometry[1], geometry[8], geometry[9], geometry[10], geometry[11]
    out = np.empty((kh * kw, 2), dtype=np.int64)
    for r in range(kh):
        for s in range(kw):
            out[r * kw + s, 0] = r * dh % sh * sw + s * dw % sw
            out[r * kw + s, 1] = r * dh // sh * _width(geometry) + s * dw // sw
    return out


@kernel
def _weights(
    out: IntArray, mask: BoolArray, low: int, high: int, channel: int, phase: int, positions: IntArray
) -> int:
    """List the weights of a block that meet inputs of a phase, output channels fastest; returns how many.

    Rows of ``out`` are (places that the output lies before the input, the output channel's part of the hash).
    """
    count = 0
    for p in range(len(positions)):
        if positions[p, 0] == phase:
            for o in range(low, high):
                if mask[o, channel * len(positions) + p]:
                    out[count, 0] = positions[p, 1]
                    out[count, 1] = (o & 4) << 2 | o & 3
                    count += 1
    return count


@kernel
def _inputs(out: IntArray, plane: BoolArray, pe: int, phase: int, geometry: IntArray) -> int:
    """List the places of the nonzero inputs of a phase in a PE's tile; returns how many."""
    sh, sw, ph, pw = geometry[0], geometry[1], geometry[2], geometry[3]
    tall, wide = geometry[4] * sh, geometry[5] * sw
    top, left = pe // geometry[7] * tall, pe % geometry[7] * wide
    up, before = _reach(geometry)
    width = _width(geometry)
    first_y, first_x = top + (phase // sw - top - ph) % sh, left + (phase % sw - left - pw) % sw
    row = ((first_y + ph) // sh + up) * width + before + (first_x + pw) // sw
    count = 0
    for y in range(first_y, min(top + tall, plane.shape[0]), sh):
        place = row
        for x in range(first_x, min(left + wide, plane.shape[1]), sw):
            if plane[y, x]:
                out[count] = place
                count += 1
            place += 1
        row += width
    return count


@kernel
def _meet(
    weights: IntArray,
    inputs: IntArray,
    waiting: NDArray[np.int32],
    hashes: NDArray[np.uint8],
    bank_of: IntArray,
    sizes: IntArray,
    most: int,
) -> tuple[int, int]:
    """(cycles, steps) of all vectors of weights with all of inputs, at most so many steps."""
    weight_vector, input_vector, banks, queue = sizes[2], sizes[3], sizes[4], sizes[5]
    cycles = steps = 0
    for a in range(0, len(inputs), input_vector):
        for w in range(0, len(weights), weight_vector):
            if steps == most:
                return cycles, steps
            for i in range(a, min(a + input_vector, len(inputs))):
                for j in range(w, min(w + weight_vector, len(weights))):
                    waiting[bank_of[hashes[inputs[i] - weights[j, 0]] ^ weights[j, 1]]] += 1
            fullest = np.int32(0)
            for b in range(banks):
                fullest = max(fullest, waiting[b])
            taken = max(np.int32(1), np.int32(fullest - queue))
            for b in range(banks):
                waiting[b] = max(waiting[b] - taken, np.int32(0))
            cycles += int(taken)
            steps += 1
    return cycles, steps
