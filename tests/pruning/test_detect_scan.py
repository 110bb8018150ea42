"""The early exits of pattern detection change nothing: each structure is found as by counting every tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.kernels.mask_scan import has_uniform_tiles, tiled_zeros
from simsparse.pattern import Block
from simsparse.pruning.detect import BLOCKS, detect_pattern


@st.composite
def tiled_masks(draw: st.DrawFn) -> tuple[Any, int, int]:
    """Random masks with empty tiles, some weights put back, of sizes that the tiles need not divide."""
    rows, columns = draw(st.sampled_from([(1, 1), (2, 2), (4, 1), (1, 4), (3, 5), (8, 1), (4, 4), (1, 16)]))
    m, k = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tiles = rng.random((-(-m // rows), -(-k // columns))) < draw(st.floats(0, 1))
    mask = np.kron(tiles, np.ones((rows, columns)))[:m, :k].astype(bool)
    return mask & (rng.random((m, k)) < draw(st.sampled_from([1.0, 1.0, 0.97, 0.5]))), rows, columns


def tiles_of(mask: Any, rows: int, columns: int) -> list[Any]:
    m, k = mask.shape
    return [mask[i : i + rows, j : j + columns] for i in range(0, m, rows) for j in range(0, k, columns)]


@given(tiled_masks())
@settings(max_examples=150, deadline=None)
def test_scans_count_what_a_loop_over_tiles_counts(drawn: tuple[Any, int, int]) -> None:
    mask, rows, columns = drawn
    tiles = tiles_of(mask, rows, columns)
    assert tiled_zeros(mask.view(np.uint8), rows, columns) == sum(
        tile.size for tile in tiles if not tile.any()
    )
    assert has_uniform_tiles(mask, rows, columns) == all(tile.all() or not tile.any() for tile in tiles)


@given(tiled_masks())
@settings(max_examples=80, deadline=None)
def test_a_block_found_has_its_zeros_in_empty_blocks(drawn: tuple[Any, int, int]) -> None:
    found = detect_pattern(drawn[0])
    if isinstance(found, Block):
        tiles = tiles_of(drawn[0], found.rows, found.columns)
        empty = sum(tile.size for tile in tiles if not tile.any())
        assert empty >= 0.9 * np.count_nonzero(~drawn[0])
        assert (found.rows, found.columns) in BLOCKS


def test_blocks_with_a_few_zeros_of_their_own_are_found() -> None:
    rng = np.random.default_rng(1)
    for rows, columns in BLOCKS:
        tiles = rng.random((1024 // rows, 1024 // columns)) < 0.5
        mask = np.kron(tiles, np.ones((rows, columns), bool)).astype(bool) & (rng.random((1024, 1024)) < 0.98)
        found = detect_pattern(mask)
        assert isinstance(found, Block)
        assert (found.rows, found.columns) == (rows, columns)
