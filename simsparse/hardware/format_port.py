"""Parameters of the format-port family (single-MAC designs that compare storage formats)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatPortParameters:
    """One MAC behind a buffer whose ports carry compressed operands."""

    family: Literal["format-port"] = "format-port"
    zeros: Literal["gate", "skip"]
    """Whether a pair with a zero takes its cycle without energy, or no cycle at all."""
    port_bytes_per_cycle: float
    """Of the buffer's write port and of its read port, each."""
    metadata_on_ports: bool
    """Whether positions take port bandwidth beside the values."""
    backing_word_bytes: int
    """Values that one access to the backing storage moves."""
    metadata_word_bits: int
    """Width of the metadata memories."""

    def __post_init__(self) -> None:
        if self.port_bytes_per_cycle <= 0 or min(self.backing_word_bytes, self.metadata_word_bits) < 1:
            raise UsageError("format-port: expected port_bytes_per_cycle > 0 and word sizes >= 1")
