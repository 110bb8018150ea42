"""Storage formats as values: encode, decode exactly, count bits in closed form, multiply.

>>> import numpy as np
>>> from simsparse.formats import encode
>>> stored = encode(np.array([[0.0, 1.5, 0.0, 0.0]], np.float32), "nm")
>>> stored.footprint.total_bits, stored.decode().tolist()
(68, [[0.0, 1.5, 0.0, 0.0]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsparse.formats.registry import format_names, make_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from simsparse.formats.base import Encoded, Field, Footprint, SparseFormat
    from simsparse.pattern import Pattern

__all__ = [
    "Encoded",
    "Field",
    "Footprint",
    "SparseFormat",
    "encode",
    "format_names",
    "make_format",
    "multiply",
]


def encode(
    weights: ArrayLike,
    format: str | SparseFormat,  # noqa: A002  (the public word for it)
    mask: NDArray[np.bool_] | None = None,
    pattern: Pattern | None = None,
) -> Encoded:
    """Store the weights (m, k) that ``mask`` keeps (without one: those not zero) in a format or a named one.

    ``pattern`` gives a named format its parameters, such as N and M.

    Raises
    ------
    UnknownNameError
        If no format has that name.
    ShapeError
        If weights or mask are no matching non-empty matrices.
    FormatError
        If the format cannot hold the dtype or the mask.
    """
    chosen = make_format(format, pattern=pattern) if isinstance(format, str) else format
    return chosen.encode(weights, mask)


def multiply(encoded: Encoded, x: ArrayLike) -> NDArray[Any]:
    """``W @ x`` from stored weights, x of shape (k, n) or (k,); floats sum in float32, int8 in int32.

    Raises
    ------
    ShapeError
        If ``x`` does not have k rows.
    """
    from simsparse.formats.product import multiply as run

    return run(encoded, x)


def __getattr__(name: str) -> Any:
    if name in ("Encoded", "Field", "Footprint", "SparseFormat"):
        from simsparse.formats import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
