"""The waterfall from the ideal speed-up to the actual one."""

from __future__ import annotations

from simsparse.report.explanation import NEXT_TO_NOTHING, running
from simsparse.report.figures.figure import SERIES, Figure, axis, label, layout
from simsparse.results import Run
from simsparse.units import ratio

_TICKS = tuple(step * 10.0**power for power in range(-2, 4) for step in (1, 1.2, 1.5, 2, 3, 5, 7))
_TITLE = "Where the speed-up went"


def waterfall(run: Run) -> Figure | None:
    """One bar per cause that matters; None where the run was not explained."""
    explanation = run.explanation
    if explanation is None:
        return None
    rows = [("ideal, 1 ÷ density", 1.0, explanation.ideal_speedup, "@quiet", "")]
    for term, before, after in running(explanation):
        if abs(term.factor - 1) >= NEXT_TO_NOTHING:
            colour = SERIES[3] if term.factor < 1 else SERIES[2]
            rows.append((term.name, before, after, colour, term.meaning))
    rows.append(("actual", 1.0, explanation.speedup, SERIES[0], ""))
    told = ", ".join(f"{name} to {ratio(after)}" for name, _, after, _, meaning in rows if meaning)
    return Figure(
        name="waterfall",
        title=_TITLE,
        caption=f"{ratio(explanation.ideal_speedup)} would follow from the zeros alone. Each cause is taken"
        " away in turn and the run simulated again; the factors multiply to what is reached.",
        alternative=f"Waterfall from {rows[0][0]} to {ratio(explanation.speedup)}: {told}.",
        spec={
            "data": [
                {
                    "type": "bar",
                    "orientation": "h",
                    "y": [name for name, *_ in rows],
                    "x": [after - before for _, before, after, _, _ in rows],
                    "base": [before for _, before, _, _, _ in rows],
                    "marker": {"color": [colour for *_, colour, _ in rows], "line": {"width": 0}},
                    "hovertext": [
                        f"<b>{label(name, 60)}</b><br>{ratio(before)} → {ratio(after)}<br>{meaning}"
                        for name, before, after, _, meaning in rows
                    ],
                    "hoverinfo": "text",
                },
                {
                    "type": "scatter",
                    "mode": "text",
                    "y": [name for name, *_ in rows],
                    "x": [max(before, after) for _, before, after, _, _ in rows],
                    "text": [f" {ratio(after)}" for _, _, after, _, _ in rows],
                    "textposition": "middle right",
                    "cliponaxis": False,
                    "hoverinfo": "skip",
                },
            ],
            "layout": layout(
                xaxis=axis("speed-up", type="log", tickvals=_TICKS, ticksuffix="×"),
                yaxis=axis("", autorange="reversed", showgrid=False),
                margin={"l": 8, "r": 48, "t": 8, "b": 8},
                bargap=0.3,
            ),
        },
        height=96 + 30 * len(rows),
        wide=True,
    )
