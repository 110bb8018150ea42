"""The table of layers in a terminal; narrow terminals fold long names and lose no column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from simsparse.ir import LayerKind
from simsparse.report.plain import plain
from simsparse.results import LayerResult, Run
from simsparse.units import si

WIDE = 110
"""From this width on columns have room between them."""
_HEADS = ("layer", "m×k×n", "count", "density", "format", "time", "share", "energy", "bound by", "util.")
_SHORT = {"count": "×", "density": "dens", "bound by": "bound"}


def layer_table(run: Run, *, width: int, all_layers: bool = False) -> Table:
    """Products first, in order; layers without a product follow, one line per kind unless ``all_layers``."""
    total_s = run.totals.time_s
    products = [layer for layer in run.layers if LayerKind(layer.kind).is_product]
    others = [layer for layer in run.layers if not LayerKind(layer.kind).is_product]
    shown = run.layers if all_layers else products
    hidden = () if any(layer.count > 1 for layer in shown) else ("count",)
    table = _empty_table(wide=width >= WIDE, hidden=hidden)
    for layer in shown:
        _add(table, _cells(layer, total_s), hidden, style="")
    if not all_layers:
        for row in _grouped(others, total_s):
            _add(table, row, hidden, style="dim")
    return table


def _add(table: Table, row: Sequence[Text], hidden: Sequence[str], *, style: str) -> None:
    cells = [cell for head, cell in zip(_HEADS, row, strict=True) if head not in hidden]
    table.add_row(*cells, style=style)


def _empty_table(*, wide: bool, hidden: Sequence[str]) -> Table:
    table = Table(
        box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="bold", show_edge=False
    )
    for head in _HEADS:
        if head in hidden:
            continue
        left = head in ("layer", "format", "bound by")
        table.add_column(
            head if wide else _SHORT.get(head, head),
            justify="left" if left else "right",
            overflow="fold",
            no_wrap=head not in ("layer", "bound by", "format", "m×k×n"),
        )
    return table


def _cells(layer: LayerResult, total_s: float) -> Sequence[Text]:
    product = LayerKind(layer.kind).is_product
    return _texts(
        plain(layer.name),
        f"{layer.m}×{layer.k}×{layer.n}" if product else "",
        str(layer.count),
        f"{layer.weight_density:.3f}" if LayerKind(layer.kind).has_weights else "",
        plain(layer.format) if product else "",
        _time(layer.time_s * layer.count),
        _share(layer.time_s * layer.count, total_s),
        si(layer.energy_j * layer.count, "J"),
        plain(layer.bound_by),
        f"{100 * layer.utilisation:.0f}%" if product else "",
    )


def _grouped(layers: Iterable[LayerResult], total_s: float) -> Iterable[Sequence[Text]]:
    def kind(layer: LayerResult) -> str:
        return layer.kind

    for name, members in groupby(sorted(layers, key=kind), key=kind):
        group = list(members)
        time_s = sum(layer.time_s * layer.count for layer in group)
        energy_j = sum(layer.energy_j * layer.count for layer in group)
        bounds = sorted({layer.bound_by for layer in group})
        count = sum(layer.count for layer in group)
        label = f"all {name}"
        yield _texts(
            label,
            f"{count} layer" if count == 1 else f"{count} layers",
            "",
            "",
            "",
            _time(time_s),
            _share(time_s, total_s),
            si(energy_j, "J"),
            plain("/".join(bounds)),
            "",
        )


def _texts(*cells: str) -> Sequence[Text]:
    return [Text(cell) for cell in cells]


def _time(value_s: float) -> str:
    return si(value_s, "s")


def _share(part: float, total: float) -> str:
    return f"{100 * part / total:.1f}%" if total else ""
