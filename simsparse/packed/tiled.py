"""Tiled products over packed weights: in which blocks, and running them. ``tiled_pack`` packs the weights."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels.simd import chosen_isa
from simsparse.kernels.spmm_form import Form
from simsparse.packed.arrays import address, balanced_bounds
from simsparse.packed.host import Caches, host_caches
from simsparse.packed.panels import panel_groups, panels, shares
from simsparse.packed.scratch import Tiles, borrow, give_back
from simsparse.packed.threads import compiled, run_shares

GROUP_ROWS = 4
VECTORS = {
    "csr": {"avx512": 4, "avx2": 8, "plain": 8},
    "pairs": {"avx512": 8, "avx2": 6, "plain": 6},
    "grouped": {"avx512": 4, "avx2": 3, "plain": 3},
}
"""Most vectors of a panel, by form and instruction set."""
TERMS = {"csr": 12, "pairs": 24, "grouped": 192}
"""Columns in use that pay for a row's loads and stores of Y in a block."""
DEEP = {("csr", "avx2"): (4, 24)}
"""Vectors and terms in their place where weights are thin and K takes several blocks.

Half as wide and twice as deep is the same tile, and Y passes half as often: 4 to 14 % less time, measured at
densities of .05 to .2 (at .3: 5 % more). Not on 32 registers, where a panel of 4 is 256 bytes already.
"""
_DEEP_BELOW = 0.25
_MANY_USES = 48  # of a row of X: each thread's own copy of it then takes less than a tenth of its time
_WHOLE = 8  # columns: no group of N:M weights is cut
_ROW_COST = 3  # weights that take as long as a row's loads, stores and loop end in one block


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocking:
    """Sizes a tiled product is packed for: vectors per panel, rows of K per block, chunks of rows."""

    vectors: int
    k_block: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiled:
    """Packed weights, where their parts are, and the instruction set that runs them."""

    form: str
    shape: tuple[int, int]
    threads: int
    blocking: Blocking
    spans: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[Any]
    columns: NDArray[np.uint16]
    values: NDArray[np.float32]
    addresses: tuple[int, ...] = field(init=False)
    isa: str = field(init=False)

    def __post_init__(self) -> None:
        parts = (self.spans, self.rows, self.counts, self.columns, self.values)
        where = (self.shape[1], self.blocking.k_block, *(address(part) for part in parts))
        object.__setattr__(self, "addresses", where)
        object.__setattr__(self, "isa", chosen_isa())

    @property
    def stored_bytes(self) -> int:
        """Bytes of all packed arrays."""
        parts = (self.spans, self.rows, self.counts, self.columns, self.values)
        return sum(part.nbytes for part in parts)

    def bind(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        residual: NDArray[np.float32] | None,
        activation: int,
    ) -> Callable[[], None]:
        """As in ``Ready``."""
        beside = None if residual is None else residual[None]
        return self.bind_batch(x[None], y[None], bias, beside, activation)

    def bind_batch(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        residual: NDArray[np.float32] | None,
        activation: int,
        window: int = 0,
        *,
        keep: object = None,
    ) -> Callable[[], None]:
        """``bind`` for a batch of matrices: x (batch, k, n), y and residual (batch, m, n).

        With a ``window`` (address of its record) x is a batch of images (batch, channels, pixels). Looking
        at the arrays takes as long as a small product. The call keeps them alive, and ``keep``: whatever owns
        the window's record.
        """
        items, _, n = y.shape
        beside = (0, 0, 0) if residual is None else (address(residual), *residual.strides[:2])
        shift = 0 if bias is None else address(bias)
        places = (address(x), *x.strides[:2], n, address(y), *y.strides[:2], shift, *beside)
        record = array("q", (*self.addresses, window, *places, activation))
        blocking = self.blocking
        width, start = _starter(
            self.form, self.isa, self.threads, blocking.chunks, blocking.vectors, items, n
        )
        kept = (self, x, y, bias, residual, keep)
        return functools.partial(_run, start, self.threads, blocking.k_block * width, record, kept)


Start = Callable[[Tiles, int], None]
"""Starts a product: its tiles, the address of its record."""


def _run(start: Start, threads: int, floats: int, record: array[int], kept: Any) -> None:  # noqa: ARG001
    tiles = borrow(threads, floats)
    start(tiles, record.buffer_info()[0])
    give_back(threads, tiles)


@functools.lru_cache(maxsize=1024)
def _starter(
    form: str, isa: str, threads: int, chunks: int, vectors: int, items: int, n: int
) -> tuple[int, Start]:
    """Floats of a row of the tile, and what calls the compiled products of all panels."""
    cut = panels(n, vectors, isa)
    offset, narrows, named = cut.wides * cut.wide.floats, cut.total - cut.wides, Form(form)
    if threads > 1:
        table = shares(items * cut.wides, items * cut.total, threads, chunks)
        parts = (cut.wide, cut.narrow, table, (max(cut.wides, 1), max(narrows, 1)), offset)
        return cut.wide.floats, lambda tiles, record: run_shares(
            form, threads, (*parts, tiles.start, tiles.step, record)
        )
    calls = [
        (compiled(form, width), (named, width, 0, items * count, count, first, 0))
        for width, count, first in ((cut.wide, cut.wides, 0), (cut.narrow, narrows, offset))
        if count
    ]

    def start(tiles: Tiles, record: int) -> None:
        for kernel, of_panels in calls:
            kernel(*of_panels, tiles.start, record)

    return cut.wide.floats, start


def blocking_of(
    form: str,
    *,
    k: int,
    n: int,
    density: float,
    threads: int,
    uses: float = 0.0,
    isa: str | None = None,
    caches: Caches | None = None,
) -> Blocking:
    """How a product is cut on this host, or on one with the named vectors and caches.

    ``uses`` is how many weights meet a row of X: with many, threads share rows and not panels.
    """
    isa = isa or chosen_isa()
    choose = functools.partial(
        choose_blocking, k=k, n=n, density=density, threads=threads, uses=uses, isa=isa, caches=caches
    )
    blocking = choose(vectors=VECTORS[form][isa], terms=TERMS[form])
    if (form, isa) not in DEEP or density >= _DEEP_BELOW or blocking.k_block >= k:
        return blocking
    vectors, terms = DEEP[form, isa]
    return choose(vectors=vectors, terms=terms)


def choose_blocking(
    *,
    k: int,
    n: int,
    density: float,
    threads: int,
    vectors: int,
    terms: int,
    uses: float = 0.0,
    isa: str | None = None,
    caches: Caches | None = None,
) -> Blocking:
    """Rows of K per block, from the caches.

    At least what fills three quarters of L1 beside the streams of weights (all of it for thin weights, which
    use a part of each tile), at most a quarter of L2; between these, as many as give a row ``terms`` columns
    in use, which pays for its loads and stores of Y. Then K is cut evenly, at multiples of eight: rows of N:M
    weights have equally many in each block.
    """
    cut = panels(n, vectors, isa)
    row_bytes = cut.wide.floats * 4
    caches = caches or host_caches()
    least = (caches.l1_bytes if density < 0.35 else caches.l1_bytes * 3 // 4) // row_bytes
    most = max(least, caches.l2_bytes // 4 // row_bytes)
    wanted = int(min(max(terms / max(density, 1e-6), least), most, 1 << 15))
    blocks = max(1, -(-k // max(wanted, 1)))
    # threads on panels side by side prefetch each other's lines of Y; on rows they do not
    runs = 1 if uses >= _MANY_USES else panel_groups(cut.total, threads)
    even = -(-k // blocks)
    return Blocking(vectors=vectors, k_block=min(-(-even // _WHOLE) * _WHOLE, k), chunks=threads // runs)


def row_bounds(
    lengths: NDArray[np.int64], blocking: Blocking, k: int, *, multiple: int = 1
) -> NDArray[np.int64]:
    """Where the rows, of ``lengths`` weights each, are cut into chunks of about the same time."""
    if blocking.chunks == 1:
        return np.array([0, lengths.size], np.int64)
    costs = lengths + _ROW_COST * -(-k // blocking.k_block)
    return balanced_bounds(costs, blocking.chunks, multiple=multiple)
