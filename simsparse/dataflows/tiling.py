"""Small arithmetic that every dataflow needs: ceilings, tile edges, and bytes spread over tiles without
loss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simsparse.dataflows.task import LayerTask
from simsparse.plan import IntArray


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up.

    >>> ceil_div(7, 4)
    2
    """
    return -(-a // b)


def edges(total: int, tile: int) -> IntArray:
    """Sizes of the tiles that cover ``total``; the last may be smaller.

    >>> edges(10, 4).tolist()
    [4, 4, 2]
    """
    sizes = np.full(ceil_div(total, tile), tile, dtype=np.int64)
    sizes[-1] = total - tile * (len(sizes) - 1)
    return sizes


def spread(total: int, shares: ArrayLike) -> IntArray:
    """``total`` divided in proportion to ``shares``, in integers that add up to it exactly.

    >>> spread(10, [1, 1, 1]).tolist()
    [3, 4, 3]
    """
    weight = np.asarray(shares, dtype=np.float64)
    if not weight.size:
        return np.zeros(0, dtype=np.int64)
    if not weight.sum():
        weight = np.ones_like(weight)
    upto = np.round(np.cumsum(weight.ravel()) / weight.sum() * total).astype(np.int64)
    upto[-1] = total
    parts: IntArray = np.diff(upto, prepend=0).reshape(weight.shape)
    return parts


def stored_bytes(task: LayerTask) -> tuple[int, int]:
    """Bytes of W in memory as (values with padding, metadata), each rounded up to whole bytes."""
    print_ = task.footprint
    return ceil_div(print_.value_bits + print_.padding_bits, 8), ceil_div(print_.metadata_bits, 8)
