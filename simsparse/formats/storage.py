"""What is stored and what it costs: arrays of elements of so many bits, and their sum by purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from simsparse.errors import FormatError

Role = Literal["value", "metadata"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """One stored array: each element takes ``bits`` bits, and ``padding`` of them hold no real entry."""

    data: NDArray[Any]
    bits: int
    role: Role
    padding: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= 64 or not 0 <= self.padding <= self.data.size:
            raise FormatError(
                f"field: expected 0 <= bits <= 64 and 0 <= padding <= {self.data.size}, "
                f"got bits={self.bits}, padding={self.padding}"
            )

    @property
    def total_bits(self) -> int:
        """Bits of all elements."""
        return self.data.size * self.bits

    @property
    def padding_bits(self) -> int:
        """Bits of the elements that belong to padding entries."""
        return self.padding * self.bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Storage of one matrix in bits, in three parts that add up to all of it.

    ``value_bits`` are the kept weights, ``metadata_bits`` positions and pointers of real entries,
    ``padding_bits`` all of the padding entries: value slot and its metadata. ``stored_values`` counts value
    slots, padding included.
    """

    value_bits: int
    metadata_bits: int
    padding_bits: int
    stored_values: int = 0

    @property
    def total_bits(self) -> int:
        """All bits."""
        return self.value_bits + self.metadata_bits + self.padding_bits

    @property
    def total_bytes(self) -> int:
        """All bits, packed without gaps, in whole bytes."""
        return -(-self.total_bits // 8)

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            value_bits=self.value_bits + other.value_bits,
            metadata_bits=self.metadata_bits + other.metadata_bits,
            padding_bits=self.padding_bits + other.padding_bits,
            stored_values=self.stored_values + other.stored_values,
        )
