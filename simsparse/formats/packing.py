"""Fields to bytes: every element takes exactly its field's bits, and nothing lies between fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from simsparse.formats.arrays import raw_bits
from simsparse.kernels.encode_pack import pack_bits

if TYPE_CHECKING:
    from simsparse.formats.base import Field

_CHUNK = 1 << 16  # widening to 64 bits happens piece by piece, so memory stays small


def pack_fields(fields: Iterable[Field]) -> bytes:
    """The fields one after the other, least significant bit first, in ``ceil(total bits / 8)`` bytes."""
    fields = tuple(fields)
    out = np.zeros(-(-sum(field.total_bits for field in fields) // 8), np.uint8)
    offset = 0
    for field in fields:
        flat = raw_bits(field.data).reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            offset = pack_bits(flat[start : start + _CHUNK].astype(np.uint64), field.bits, out, offset)
    return out.tobytes()
