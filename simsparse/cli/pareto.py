"""``simsparse pareto``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.output import console, print_json
from simsparse.units import si, three_digits

if TYPE_CHECKING:
    from simsparse.published.pareto import Front


def pareto(
    model: Annotated[str, Parameter(help="A bundled model with published sparse networks.")],
    /,
    *,
    on: o.On,
    format: o.Format = "auto",  # noqa: A002  (the public word for it)
    dtype: o.Dtype = None,
    batch: o.Batch = None,
    seq: o.Seq = None,
    seed: o.Seed = 0,
    within: Annotated[
        float, Parameter("--within", help="How much worse than dense the recommended network may be.")
    ] = 1.0,
    json: o.Json = False,
) -> None:
    """Published sparse networks of a model beside what they cost on a machine: which is best per joule."""
    from simsparse.published.pareto import pareto as find

    front = find(model, on=on, format=format, dtype=dtype, batch=batch, seq=seq, seed=seed)
    if json:
        print_json(_as_data(front, within))
        return
    out = console()
    for sentence in _sentences(front, within):
        out.print(sentence)
    out.print()
    out.print(f"{'network':<25} {front.metric:>19} {'time':>8} {'energy':>8} {'memory':>8}  front")
    for point in front.points:
        totals = point.run.totals
        costs = (si(totals.time_s, "s"), si(totals.energy_j, "J"), si(totals.stored_bytes, "B"))
        row = [f"{point.network.label:<25.25} {point.network.value:>19g}", *(f"{cost:>8}" for cost in costs)]
        out.print(" ".join((*row, "", *(cost[0] for cost in point.fronts))).rstrip(), soft_wrap=True)
    out.print("front: no other network is better and takes less energy (e), time (t), memory (m)")
    out.print()
    sources = dict.fromkeys(point.network.source.split(";")[0] for point in front.points)
    out.print(
        f"Accuracies as published: {'; '.join(sources)}. Masks are seeded: patterns and spread as published."
    )


def _sentences(front: Front, within: float) -> list[str]:
    sentences = []
    for cost, unit in (("energy", "J"), ("time", "s")):
        best = front.best(cost, within)
        value = best.run.totals.energy_j if cost == "energy" else best.run.totals.time_s
        ratio = best.run.energy_ratio if cost == "energy" else best.run.speedup
        sentences.append(
            f"Least {cost} on {front.hardware} within {within:g} of dense {front.metric}:"
            f" {best.network.label} ({best.network.value:g}), {si(value, unit)},"
            f" {three_digits(ratio)}x less than dense."
        )
    return sentences


def _as_data(front: Front, within: float) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "model": front.model,
        "hardware": front.hardware,
        "metric": front.metric,
        "within": within,
        "best": {cost: front.best(cost, within).network.label for cost in ("energy", "time", "memory")},
        "networks": [
            {
                "label": point.network.label,
                "pattern": point.run.pattern,
                "allocation": point.network.allocation,
                "value": point.network.value,
                "better": point.network.better,
                "time_s": point.run.totals.time_s,
                "energy_j": point.run.totals.energy_j,
                "stored_bytes": point.run.totals.stored_bytes,
                "speedup": point.run.speedup,
                "energy_ratio": point.run.energy_ratio,
                "fronts": list(point.fronts),
                "source": point.network.source,
            }
            for point in front.points
        ],
    }
