"""Real execution of a study's models on this host: one at a time, when nothing else runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from simsparse.errors import SimsparseError
from simsparse.sweep.points import Point
from simsparse.sweep.store import Store

_PREFIX = "measured "
_ASKED = ("model", "pattern", "format", "batch", "seq", "criterion", "allocation", "seed")
_FIGURES = ("time_s", "spread", "dense_name", "dense_s", "speedup", "predicted_s", "energy_j", "weight_bytes")


def measure_points(points: Iterable[Point], store: Store) -> Iterator[dict[str, Any]]:
    """Measure what the points differ in on this host, machines and dtypes apart; what is measured is kept."""
    for asked in dict.fromkeys(tuple(getattr(point, name) for name in _ASKED) for point in points):
        words = dict(zip(_ASKED, asked, strict=True))
        name = _PREFIX + " ".join(map(str, asked))
        if store.noted(name) is None:
            store.note(name, {**words, **_measured(words)})
        yield store.noted(name)


def measured_points(store: Store) -> list[dict[str, Any]]:
    """What was measured so far."""
    return store.notes(_PREFIX)


def _measured(words: dict[str, Any]) -> dict[str, Any]:
    from simsparse.measure.measure import measure

    rest = {name: value for name, value in words.items() if name not in ("model", "pattern")}
    prune = None if words["pattern"] == "dense" else words["pattern"]
    try:
        found = measure(words["model"], prune=prune, **rest)
    except SimsparseError as error:
        return {"error": " ".join(str(error).split())}
    return {name: getattr(found, name) for name in _FIGURES}
