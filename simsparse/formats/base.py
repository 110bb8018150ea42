"""What a storage format is: a frozen value that turns a matrix into stored arrays and back and counts bits.

One rule makes every format exact: **a padding slot holds all-zero bits**. Reading therefore never has to tell
padding from weights; it drops all-zero values, and a kept +0 reads back as the +0 it was. Kept positions come
from the mask.

Weights travel as *raw* unsigned integers of the same width, so NaN payloads, −0.0 and any float type survive
unread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simsparse.errors import FormatError
from simsparse.formats.arrays import as_mask, as_matrix, kept_mask, raw_bits, value_width
from simsparse.formats.storage import Field, Footprint
from simsparse.formats.text import to_text
from simsparse.pattern import Pattern

__all__ = ["Encoded", "Field", "Footprint", "Mask", "Raw", "SparseFormat"]

Mask = NDArray[np.bool_]
Raw = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """A matrix of ``shape`` (m, k) and ``dtype`` as ``format`` stores it: named arrays in storage order.

    Field widths and sizes describe the encoding and are not among its bits.
    """

    format: SparseFormat
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    fields: Mapping[str, Field]

    @property
    def footprint(self) -> Footprint:
        """The bits of the arrays, added up by role."""
        parts = {"value": 0, "metadata": 0}
        for field in self.fields.values():
            parts[field.role] += field.total_bits - field.padding_bits
        return Footprint(
            value_bits=parts["value"],
            metadata_bits=parts["metadata"],
            padding_bits=sum(field.padding_bits for field in self.fields.values()),
            stored_values=sum(field.data.size for field in self.fields.values() if field.role == "value"),
        )

    def decode(self) -> NDArray[Any]:
        """The matrix again, bit for bit, with +0 where nothing is kept."""
        return self.format.decode(self)

    def pack(self) -> bytes:
        """All fields bit-packed, one after the other, least significant bit first; ``total_bytes`` long."""
        from simsparse.formats.packing import pack_fields

        return pack_fields(self.fields.values())

    def check(self) -> None:
        """Read every element; O(stored elements).

        Raises
        ------
        FormatError
            If an element does not fit the bits of its field.
        """
        for name, field in self.fields.items():
            largest = int(raw_bits(field.data).max(initial=0))
            if largest.bit_length() > field.bits:
                raise FormatError(f"{self.format}: {name}: expected at most {field.bits} bits, got {largest}")

    def raw(self, name: str) -> Raw:
        """One field's elements as unsigned integers, flat."""
        return raw_bits(self.fields[name].data).reshape(-1)

    def indices(self, name: str) -> NDArray[np.int64]:
        """One metadata field's elements as int64, flat, ready for arithmetic."""
        return self.raw(name).astype(np.int64)


class SparseFormat(ABC):
    """A storage format. Subclasses are frozen dataclasses whose fields are the format's parameters.

    A subclass writes three hooks: ``encode_fields``, ``entries`` and ``count_bits``; and ``conform`` if it
    cannot hold every mask. It must store all-zero bits in padding slots.
    """

    __slots__ = ()

    name: ClassVar[str]
    shorthand: ClassVar[str] = ""
    """How the first parameters are written in ``str()``, such as ``{keep}:{group}``."""

    @classmethod
    def for_pattern(cls, pattern: Pattern | None) -> Self:  # noqa: ARG003  (most formats take nothing from it)
        """The format with the parameters that suit ``pattern``, or its defaults."""
        return cls()

    def encode(self, weights: ArrayLike, mask: Mask | None = None) -> Encoded:
        """Store the weights (m, k) that ``mask`` keeps; without a mask those that are not zero (NaN is kept).

        Raises
        ------
        ShapeError
            If weights or mask are no matching non-empty matrices.
        FormatError
            If the dtype or the mask cannot be held.
        """
        values = as_matrix(weights, self)
        kept = kept_mask(values) if mask is None else as_mask(mask, self, values.shape)
        self.conform(kept)
        fields = {
            name: _typed(field, values.dtype)
            for name, field in self.encode_fields(raw_bits(values), kept).items()
        }
        return Encoded(format=self, shape=kept.shape, dtype=values.dtype, fields=MappingProxyType(fields))

    def decode(self, encoded: Encoded) -> NDArray[Any]:
        """The matrix (m, k) again: ``where(mask, weights, 0)`` bit for bit.

        Raises
        ------
        FormatError
            If the encoding is of another format, or damaged.
        """
        positions, raw = self.stored(encoded)
        m, k = encoded.shape
        flat = np.zeros(m * k, raw.dtype)
        flat[positions] = raw
        return flat.view(encoded.dtype).reshape(m, k)

    def stored(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        """Checked ``entries``: row-major positions and raw values, padding left out.

        Raises
        ------
        FormatError
            If the encoding is of another format, or damaged.
        """
        if encoded.format != self:
            raise FormatError(
                f"decode: expected an encoding in {self}, got {encoded.format} (call encoded.decode())"
            )
        try:
            positions, raw = self.entries(encoded)
        except (IndexError, KeyError, ValueError) as error:
            raise FormatError(
                f"{self}: expected fields that fit together, got damaged ones ({error})"
            ) from error
        m, k = encoded.shape
        low, high = (int(positions.min()), int(positions.max())) if positions.size else (0, 0)
        if positions.shape != raw.shape or low < 0 or high >= m * k:
            raise FormatError(
                f"{self}: expected one value per position in 0..{m * k - 1}, got {raw.size} values "
                f"and positions in {low}..{high} (the encoding is damaged)"
            )
        return positions, raw

    def footprint(self, mask: Mask, *, value_bits: int) -> Footprint:
        """Bits of any matrix of that mask (m, k) with values of ``value_bits`` bits; nothing is encoded.

        Raises
        ------
        ShapeError
            If the mask is no non-empty matrix.
        FormatError
            If the mask cannot be held.
        """
        if value_bits < 1:
            raise FormatError(f"{self}: expected value_bits >= 1, got {value_bits}")
        kept = as_mask(mask, self)
        self.conform(kept)
        return self.count_bits(kept, value_bits)

    def check(self, mask: Mask) -> None:
        """Raise FormatError if this format cannot hold ``mask`` (m, k)."""
        self.conform(as_mask(mask, self))

    def __str__(self) -> str:
        return to_text(self)

    def conform(self, mask: Mask) -> None:  # noqa: B027  (most formats hold every mask)
        """Hook: raise FormatError if the checked ``mask`` cannot be held."""

    @abstractmethod
    def encode_fields(self, raw: Raw, mask: Mask) -> dict[str, Field]:
        """Hook: the stored arrays of raw weights (m, k); value fields stay raw, padding slots all-zero."""

    @abstractmethod
    def entries(self, encoded: Encoded) -> tuple[NDArray[np.int64], Raw]:
        """Hook: row-major positions and raw values of the stored entries, in any order, padding left out."""

    @abstractmethod
    def count_bits(self, mask: Mask, value_bits: int) -> Footprint:
        """Hook: the closed form behind ``footprint``."""


def _typed(field: Field, dtype: np.dtype[Any]) -> Field:
    if field.role == "metadata":
        return field
    return Field(data=field.data.view(dtype), bits=value_width(dtype), role="value", padding=field.padding)
