"""How a convolution runs: as a plain product, as a tiled one over windows, group by group, or depthwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simsparse.errors import FormatError, UnknownNameError, UsageError
from simsparse.formats.base import Encoded
from simsparse.formats.product import CompressedRows
from simsparse.ir import ConvShape
from simsparse.packed.choose import choose
from simsparse.packed.conv_split import WithoutStride
from simsparse.packed.conv_strip import pays_direct
from simsparse.packed.conv_window import (
    Window,
    is_flat,
    is_pointwise,
    is_sampled,
    is_split,
    sampled,
    window_of,
)
from simsparse.packed.request import Floats, Ready, Request
from simsparse.packed.tiled import Tiled, blocking_of
from simsparse.packed.tiled_pack import pack_tiled

TILED = ("csr", "pairs", "grouped")
KERNELS = (*TILED, "depthwise", "direct")
_WIDE = 64  # columns, so that no matrix-vector kernel is chosen
_FULL_FROM = 0.8  # below, groups of random patterns are as slow as compressed rows, in narrower panels


class Images(Protocol):
    """Packed weights of a convolution."""

    @property
    def stored_bytes(self) -> int:
        """Bytes that the packed weights take."""

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        """x (batch, channels, pixels in) to y (batch, m, pixels out), planes contiguous.

        y is no other's memory, but the residual's where ``adds_in_place``.
        """

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """``run`` with these arrays, as often as it is called; calls share scratch memory."""


def in_turn(calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """One call for all of them."""
    if len(calls) == 1:
        return calls[0]

    def run() -> None:
        for call in calls:
            call()

    return run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pointwise:
    """A plain product per image."""

    ready: Ready

    @property
    def stored_bytes(self) -> int:
        return self.ready.stored_bytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.bind(x, y, bias, residual, activation)()

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        if isinstance(self.ready, Tiled):
            return self.ready.bind_batch(x, y, bias, residual, activation)
        besides = [None] * x.shape[0] if residual is None else residual
        items = zip(x, y, besides, strict=True)
        return in_turn([self.ready.bind(one, to, bias, beside, activation) for one, to, beside in items])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windowed:
    """Tiled products whose tiles are gathered through a window."""

    tiled: Tiled
    window: Window

    @property
    def stored_bytes(self) -> int:
        return self.tiled.stored_bytes + self.window.stored_bytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.bind(x, y, bias, residual, activation)()

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        window = self.window
        return self.tiled.bind_batch(x, y, bias, residual, activation, window.address, keep=window)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strided:
    """A convolution of images whose stride was taken out."""

    without: WithoutStride
    images: Images

    @property
    def stored_bytes(self) -> int:
        return self.images.stored_bytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.bind(x, y, bias, residual, activation)()

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        def bind_image(item: int, found: Floats) -> Callable[[], None]:
            beside = None if residual is None else residual[item : item + 1]
            return self.images.bind(found, y[item : item + 1], bias, beside, activation)

        return self.without.bind(x, bind_image)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouped:
    """Convolutions of equal shape side by side, each with its own channels in and out."""

    parts: tuple[Images, ...]

    @property
    def stored_bytes(self) -> int:
        return sum(part.stored_bytes for part in self.parts)

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        for part, operands in self._shares(x, y, bias, residual):
            part.run(*operands, activation)

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        shares = self._shares(x, y, bias, residual)
        return in_turn([part.bind(*operands, activation) for part, operands in shares])

    def _shares(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None
    ) -> Iterator[tuple[Images, tuple[Floats, Floats, Floats | None, Floats | None]]]:
        channels, rows = x.shape[1] // len(self.parts), y.shape[1] // len(self.parts)
        for i, part in enumerate(self.parts):
            own = slice(i * rows, (i + 1) * rows)
            shift = None if bias is None else bias[own]
            beside = None if residual is None else residual[:, own]
            yield part, (x[:, i * channels : (i + 1) * channels], y[:, own], shift, beside)


def adds_in_place(images: Images) -> bool:
    """Whether a kernel reads each element of the residual before it writes that of y, and never again."""
    match images:
        case Pointwise(ready=ready):
            return isinstance(ready, Tiled)
        case Strided(images=inner):
            return adds_in_place(inner)
        case Grouped(parts=parts):
            return all(adds_in_place(part) for part in parts)
    return isinstance(images, Windowed)


def pack_conv(
    encoded: Encoded, conv: ConvShape, groups: int, threads: int, wanted: str | None
) -> tuple[str, Images, tuple[str, ...]]:
    """The kernel that runs, its packed weights, and notes."""
    request = Request(encoded=encoded, n=conv.out_height * conv.out_width, threads=threads)
    if not request.is_float:
        raise FormatError(
            f"prepare_conv: expected weights that float32 holds, got {encoded.dtype} "
            "(convert them with weights.astype(np.float32))"
        )
    if is_sampled(conv):
        name, images, notes = pack_conv(encoded, sampled(conv), groups, threads, wanted)
        return name, Strided(without=WithoutStride(conv=conv, threads=request.threads), images=images), notes
    if is_pointwise(conv) and groups == 1 and wanted != "direct":
        from simsparse.packed.preparation import pack_product

        name, ready, notes = pack_product(request, wanted)
        return name, Pointwise(ready=ready), notes
    if wanted is not None and wanted not in KERNELS:
        raise UnknownNameError("kernel of a convolution", wanted, KERNELS)
    by_channel = groups == conv.in_channels
    if wanted == "depthwise" and not by_channel:
        raise UsageError(
            f"prepare_conv: expected one group per channel for kernel depthwise, got {groups} groups of "
            f"{conv.in_channels} channels"
        )
    if by_channel and wanted in (None, "depthwise"):
        from simsparse.packed.conv_channels import pack_channels
        from simsparse.packed.conv_depthwise import pack_depthwise
        from simsparse.packed.conv_flat import pack_flat
        from simsparse.packed.conv_stream import has_nine, pack_stream, pays_stream

        if has_nine(request.rows, conv):
            if pays_stream(conv):
                return "depthwise", pack_stream(request.rows, conv, threads), ()
            if request.rows.shape[0] == conv.in_channels:
                return "depthwise", pack_channels(request.rows, conv, threads), ()
        pack = pack_flat if is_flat(conv) else pack_depthwise
        return "depthwise", pack(request.rows, conv, threads), ()
    if wanted in (None, "direct") and groups == 1:
        from simsparse.packed.conv_direct import can_direct, pack_direct

        if can_direct(request.rows, conv) and (wanted == "direct" or pays_direct(conv)):
            return "direct", pack_direct(request.rows, conv, threads), ()
    if wanted == "direct":
        raise UsageError(
            "prepare_conv: expected one group, all weights and few input channels for kernel direct, got "
            f"{groups} groups, density {request.density:.2f} and {conv.in_channels} channels"
        )
    return _windowed(request, conv, groups, wanted)


def _windowed(
    request: Request, conv: ConvShape, groups: int, wanted: str | None
) -> tuple[str, Images, tuple[str, ...]]:
    name = wanted or best_tiled(request)
    window = window_of(conv)
    parts: list[Images] = [
        Windowed(tiled=_tiled(request, rows, name), window=window) for rows in _row_groups(request, groups)
    ]
    if is_split(conv):
        parts = [
            Strided(without=WithoutStride(conv=conv, threads=request.threads), images=part) for part in parts
        ]
    return name, parts[0] if groups == 1 else Grouped(parts=tuple(parts)), ()


def best_tiled(request: Request) -> str:
    """``csr`` or ``grouped``: what a product of that pattern would take.

    Where that is BLAS, which would need the im2col matrix in memory, groups of four rows take its place: full
    ones run at the FMA peak.
    """
    name, _ = choose(Request(encoded=request.encoded, n=max(request.n, _WIDE), threads=request.threads), None)
    if name in TILED:
        return name
    return "grouped" if request.density >= _FULL_FROM else "csr"


def _row_groups(request: Request, groups: int) -> list[CompressedRows]:
    """The weights of each group."""
    rows, (m, k) = request.rows, request.encoded.shape
    if groups == 1:
        return [rows]
    found = []
    for first in range(0, m, m // groups):
        pointers = rows.pointers[first : first + m // groups + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        found.append(
            CompressedRows(
                pointers=pointers - pointers[0],
                columns=rows.columns[part],
                values=rows.values[part],
                shape=(m // groups, k),
            )
        )
    return found


def _tiled(request: Request, rows: CompressedRows, kernel: str) -> Tiled:
    m, k = rows.shape
    density = rows.columns.size / (m * k)
    blocking = blocking_of(kernel, k=k, n=request.n, density=density, threads=request.threads)
    return pack_tiled(kernel, rows, np.ascontiguousarray(rows.values, np.float32), blocking, request.threads)
