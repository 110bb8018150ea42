"""What a product is asked for, and what every kernel's packing gives back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simsparse.formats.base import Encoded
from simsparse.formats.product import CompressedRows, compress_rows

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """Encoded weights, the number of columns they will multiply, and the threads to use."""

    encoded: Encoded
    n: int
    threads: int

    @functools.cached_property
    def rows(self) -> CompressedRows:
        """The stored entries row by row; worked out once."""
        return compress_rows(self.encoded)

    @functools.cached_property
    def values(self) -> Floats:
        """Their values as float32."""
        return np.ascontiguousarray(self.rows.values, np.float32)

    @property
    def density(self) -> float:
        """The stored share of all weights."""
        m, k = self.encoded.shape
        return self.rows.columns.size / (m * k)

    @property
    def is_float(self) -> bool:
        """Whether float32 holds every weight exactly (so float16, bfloat16 and the like, but not float64)."""
        dtype: np.dtype[Any] = self.encoded.dtype
        return dtype.kind not in "iub" and dtype.itemsize <= 4 and np.can_cast(dtype, np.float32)


class Ready(Protocol):
    """Packed weights that one kernel multiplies."""

    @property
    def stored_bytes(self) -> int:
        """Bytes that the packed weights take."""

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """``y = activation(W @ x + bias + residual)`` with these very arrays, as often as it is called.

        x is (k, n), y and residual are (m, n), all with contiguous rows. One call at a time.
        """
