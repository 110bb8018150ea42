"""SCALE-Sim's topology tables: one layer a row, as a convolution or as a GEMM, with an optional N:M column.

A convolution has no padding of its own and rounds output sizes up. In a GEMM row the operand of N columns is
the filter, so ``m`` of ours is their N, ``n`` their M. A layer with ``DP`` in its name is depthwise. ``N:M``
keeps N of each M weights of a filter; which ones is not in the file, so they are drawn.

Source: https://github.com/scalesim-project/scale-sim-v2, scalesim/topology_utils.py; documentation/sparsity.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simsparse.errors import FileError, SimsparseError
from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer
from simsparse.load.document import shown_path
from simsparse.load.files.tensor_source import Array, FileWeights, Mask, TensorSource
from simsparse.load.files.text_file import read_text
from simsparse.load.onnx_text import UniqueNames, clean
from simsparse.load.quoting import shown
from simsparse.pattern import NM
from simsparse.pruning.masks import prune_matrix
from simsparse.pruning.weights import seeded_weights

MAX_BYTES = 8 * 2**20
MAX_LAYERS = 20_000
MAX_SIZE = 10**9
MAX_PRUNED_WEIGHTS = 2**31
_MISTAKES_SHOWN = 10
_CONV = ("IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "filters", "stride")
_GEMM = ("M", "N", "K")
_DEPTHWISE = "DP"
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnWeights:
    """Seeded weights of a layer with the smallest of each group removed."""

    layer: Layer
    pattern: NM

    @property
    def shape(self) -> tuple[int, int]:
        """(m, k) of the layer."""
        return self.layer.m, self.layer.k

    def values(self) -> Array:
        """The weights that are kept, zero elsewhere."""
        weights = seeded_weights(self.layer, _SEED)
        return np.where(prune_matrix(np.abs(weights), self.pattern), weights, np.float32(0))

    def nonzero(self) -> Mask:
        """The mask of the kept weights."""
        return prune_matrix(np.abs(seeded_weights(self.layer, _SEED)), self.pattern)


def load_scalesim(path: str | Path) -> Workload:
    """The layers of a SCALE-Sim topology CSV.

    Raises
    ------
    FileError
        With every mistake of the file, by line.
    """
    path = Path(path)
    where = shown_path(path)
    rows = list(_rows(read_text(path, most_bytes=MAX_BYTES, what="a topology CSV"), where))
    is_gemm = _is_gemm(rows[0][1] if rows else [], where)
    names, mistakes = UniqueNames(), []
    layers: list[Layer] = []
    sources: dict[str, TensorSource] = {}
    for line, cells in rows[1:]:
        try:
            layer, pattern = _layer(cells, is_gemm=is_gemm, names=names)
        except (ValueError, SimsparseError) as error:
            mistakes.append(f"{where}:{line}: {error}")
            continue
        layers.append(layer)
        if pattern is not None:
            sources[layer.name] = DrawnWeights(layer=layer, pattern=pattern)
    if mistakes or not layers:
        raise FileError(mistakes[:_MISTAKES_SHOWN] or [f"{where}: expected a row for each layer, got none"])
    return Workload(
        name=clean(path.stem),
        layers=tuple(layers),
        source=f"SCALE-Sim topology {clean(path.name)}",
        weights=FileWeights(sources, {layer.name: (layer.m, layer.k) for layer in layers}),
        notes=tuple(_notes(sources)),
    )


def _notes(sources: Mapping[str, TensorSource]) -> Iterator[str]:
    if sources:
        yield (
            f"the N:M column of the topology says how many weights stay in {len(sources)} layers;"
            f" which ones is drawn: the largest of each group, seed {_SEED}"
        )


def _rows(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not empty, without empty cells at its end."""
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            while cells and not cells[-1].strip():
                cells.pop()
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
            if reader.line_num > MAX_LAYERS:
                raise FileError([f"{where}: expected at most {MAX_LAYERS:,} rows, got more (split the file)"])
    except csv.Error as error:
        raise FileError([f"{where}:{reader.line_num}: expected a row of a CSV, got: {error}"]) from None


def _is_gemm(header: list[str], where: str) -> bool:
    names = [cell.lower() for cell in header[1:]]
    if names[:3] == ["m", "n", "k"]:
        return True
    if len(names) >= len(_CONV) and "ifmap" in names[0]:
        return False
    expected = "Layer name, IFMAP Height, IFMAP Width, …, or Layer, M, N, K"
    got = shown(", ".join(header))
    raise FileError([f"{where}:1: expected a header {expected}, got {got} (is it a SCALE-Sim topology?)"])


def _layer(cells: list[str], *, is_gemm: bool, names: UniqueNames) -> tuple[Layer, NM | None]:
    ratio = cells.pop() if ":" in cells[-1] else "1:1"
    columns = _GEMM if is_gemm else _CONV
    sizes = [_size(cell, columns[min(i, len(columns) - 1)]) for i, cell in enumerate(cells[1:])]
    if len(sizes) not in ((3,) if is_gemm else (7, 8)):
        raise ValueError(
            f"expected a name and {len(columns)} numbers ({', '.join(columns)}), got {len(sizes)}"
        )
    name = names.make(clean(cells[0]) or "layer")
    if is_gemm:
        layer = gemm_layer(name, sizes[1], sizes[2], sizes[0])
    else:
        layer = _conv(name, sizes, depthwise=_DEPTHWISE in cells[0])
    return layer, _pattern(ratio, layer)


def _conv(name: str, sizes: list[int], *, depthwise: bool) -> Layer:
    height, width, filter_height, filter_width, channels, filters, down = sizes[:7]
    across = sizes[7] if len(sizes) > 7 else down
    if filter_height > height or filter_width > width:
        raise ValueError(
            f"expected a filter within the {height} x {width} IFMAP, got {filter_height} x {filter_width}"
            " (write the padded size of the IFMAP)"
        )
    out_height = -(-(height - filter_height) // down) + 1
    out_width = -(-(width - filter_width) // across) + 1
    shape = ConvShape(
        batch=1,
        in_channels=channels,
        in_height=height,
        in_width=width,
        kernel_height=filter_height,
        kernel_width=filter_width,
        out_height=out_height,
        out_width=out_width,
        stride=(down, across),
        padding=(
            0,
            0,
            (out_height - 1) * down + filter_height - height,
            (out_width - 1) * across + filter_width - width,
        ),
    )
    groups = channels if depthwise else 1
    return conv_layer(name, shape, filters * groups, groups=groups)


def _pattern(ratio: str, layer: Layer) -> NM | None:
    keep, group = (_size(part, "N:M") if part.strip() else 0 for part in ratio.partition(":")[::2])
    if not 1 <= keep <= group:
        raise ValueError(f"expected N:M with 1 <= N <= M, got {shown(ratio)} (2:4 keeps 2 of 4)")
    if keep == group:
        return None
    if layer.m * layer.k > MAX_PRUNED_WEIGHTS:
        raise ValueError(
            f"expected at most {MAX_PRUNED_WEIGHTS:,} weights under N:M, got {layer.m * layer.k:,}"
        )
    return NM(keep, group)


def _size(cell: str, what: str) -> int:
    word = cell.strip()
    size = int(word) if word.isascii() and word.isdigit() and len(word) < 20 else 0
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"{what}: expected a whole number from 1 to 10^9, got {shown(cell)}")
    return size
