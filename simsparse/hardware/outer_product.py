"""Parameters of the outer-product family (DSTC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simsparse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterProductParameters:
    """Outer products of compressed vectors, added into an output tile held beside the multipliers."""

    family: Literal["outer-product"] = "outer-product"
    tile_m: int
    """Rows of an output tile: the length of the vectors of W."""
    tile_n: int
    """Columns of an output tile: the length of the vectors of X."""
    pack_m: int
    """Nonzeros of W taken per cycle."""
    packs_across_k: bool = True
    """Whether W's nonzeros of neighbouring positions share a cycle, or each position fills whole packs."""
    chunk_n: int
    """Nonzeros of X taken at once; a chunk that is not full costs as much."""
    setup_cycles: float
    """Cycles per position of k and chunk on top of the products."""
    panel: tuple[int, ...] = ()
    """Rows and columns of outputs that share what is read from the level ``smem``; empty where that never
    limits.
    """
    turns: bool = False
    """Whether tiles and panels may also lie the other way round, whichever is cheaper."""

    def __post_init__(self) -> None:
        if min(self.tile_m, self.tile_n, self.pack_m, self.chunk_n) < 1 or self.setup_cycles < 0:
            raise UsageError("outer-product: expected tiles, pack_m, chunk_n >= 1 and setup_cycles >= 0")
        if self.panel and (len(self.panel) != 2 or min(self.panel) < 1):
            raise UsageError(f"outer-product: panel: expected rows and columns >= 1, got {self.panel}")
