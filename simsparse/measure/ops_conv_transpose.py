"""Transposed convolutions, densely: a product per tap, added to the positions that the tap reaches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simsparse.measure.op import Array, Kind, Layout, Op, Setting


def conv_transpose(setting: Setting) -> Op | None:
    """None for sizes that are asked for (``auto_pad``, ``output_shape``) in place of padding."""
    attributes = setting.node.attributes
    if not setting.is_float() or len(setting.inputs) not in (2, 3):
        return None
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or attributes.get("output_shape"):
        return None
    x, weights = (part.shape for part in setting.inputs[:2] if part is not None)
    if len(x) < 3 or 0 in x:
        return None
    axes, groups = len(x) - 2, int(attributes.get("group", 1))
    strides, dilations = (setting.integers(key, (1,) * axes) for key in ("strides", "dilations"))
    begins = setting.integers("pads", (0,) * 2 * axes)[:axes]
    more = setting.integers("output_padding", (0,) * axes)
    sizes = tuple(
        (n - 1) * s + (taps - 1) * d + 1 + extra
        for n, s, taps, d, extra in zip(x[2:], strides, weights[2:], dilations, more, strict=True)
    )
    out_sizes, rows, k = setting.out_shape[2:], weights[1], weights[0] // groups
    if min(begins, default=0) < 0 or any(
        b + n > size for b, n, size in zip(begins, out_sizes, sizes, strict=True)
    ):
        return None
    inside = (slice(None), slice(None), *(slice(b, b + n) for b, n in zip(begins, out_sizes, strict=True)))
    taps = list(itertools.product(*map(range, weights[2:])))
    picks: list[Any] = [(slice(None), slice(None), *tap) for tap in taps]
    reached = [
        (
            slice(None),
            slice(None),
            *(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, x[2:], strides, strict=True)
            ),
        )
        for tap in taps
    ]
    everything = np.empty((x[0], groups * rows, *sizes), np.float32)
    part = np.empty((x[0], groups, rows, math.prod(x[2:])), np.float32)

    def run(inputs: Sequence[Array], out: Array) -> None:
        columns = inputs[0].reshape(x[0], groups, k, -1)
        everything[...] = 0 if len(inputs) < 3 else inputs[2].reshape(-1, *(1,) * axes)
        for pick, where in zip(picks, reached, strict=True):
            matrix = inputs[1][pick].reshape(groups, k, rows).transpose(0, 2, 1)
            np.matmul(matrix, columns, out=part)
            everything[where] += part.reshape(x[0], groups * rows, *x[2:])
        np.copyto(out, everything[inside])

    return Op(kind=Kind.BUFFER, run=run, needs={0: Layout.ROWS})
