"""How values show themselves in a notebook: small HTML, everything from files escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from simsparse.ir import LayerKind
from simsparse.report.explanation import running
from simsparse.report.plain import plain
from simsparse.report.sentences import verdict
from simsparse.results import Explanation, LayerResult, Run
from simsparse.units import ratio, si, three_digits

SHOWN = 12
"""Layers of a run that are listed, those that take longest."""


def run_html(run: Run) -> str:
    """The verdict, totals beside dense, and the layers that take longest."""
    first, *rest = verdict(run)
    rows = (
        ("time", si(run.totals.time_s, "s"), si(run.baseline.time_s, "s"), ratio(run.speedup)),
        ("energy", si(run.totals.energy_j, "J"), si(run.baseline.energy_j, "J"), ratio(run.energy_ratio)),
        (
            "weights",
            si(run.totals.stored_bytes, "B"),
            si(run.baseline.stored_bytes, "B"),
            ratio(run.memory_ratio),
        ),
    )
    layers = sorted(run.layers, key=lambda layer: -layer.time_s * layer.count)[:SHOWN]
    more = len(run.layers) - len(layers)
    heads = ("layer", "m×k×n", "density", "format", "time", "energy", "bound by")
    return (
        f"<p><b>{_text(first)}</b><br>{_text(' '.join(rest))}</p>"
        + _table(("", "this run", "dense", "gain"), rows)
        + _table(heads, map(_layer, layers))
        + (f"<p>and {more} layers that take less</p>" if more > 0 else "")
    )


def explanation_html(explanation: Explanation) -> str:
    """The causes from the ideal speed-up to the actual one."""
    where = f"{explanation.model} on {explanation.hardware}, {explanation.pattern}"
    rows = [("ideal, 1 ÷ density", "", ratio(explanation.ideal_speedup), "")]
    rows += [
        (term.name, f"×{three_digits(term.factor)}", ratio(after), term.remedy)
        for term, _, after in running(explanation)
    ]
    rows.append(("actual", "", ratio(explanation.speedup), ""))
    return f"<p><b>{_text(where)}</b></p>" + _table(("cause", "factor", "speed-up", "what would help"), rows)


def _layer(layer: LayerResult) -> Sequence[str]:
    product = LayerKind(layer.kind).is_product
    return (
        layer.name,
        f"{layer.m}×{layer.k}×{layer.n}" if product else "",
        f"{layer.weight_density:.3f}" if LayerKind(layer.kind).has_weights else "",
        layer.format,
        si(layer.time_s * layer.count, "s"),
        si(layer.energy_j * layer.count, "J"),
        layer.bound_by,
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(word)}</th>" for word in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    return escape(plain(text))
