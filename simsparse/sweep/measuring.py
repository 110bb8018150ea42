"""Real execution of a study's models on this host: one at a time, when nothing else runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from simsparse.errors import SimsparseError
from simsparse.sweep.points import Point
from simsparse.sweep.store import Store

_PREFIX = "measured "
ASKED = ("model", "pattern", "format", "batch", "seq", "criterion", "allocation", "seed", "skip")
"""What a real execution depends on; points that agree in it share one."""
_FIGURES = ("time_s", "spread", "dense_name", "dense_s", "speedup", "predicted_s", "energy_j", "weight_bytes")


Asked = tuple[Any, ...]


def asked(words: Mapping[str, Any]) -> Asked:
    """The values of ``ASKED`` in a point or in what was measured of it."""
    return tuple(tuple(words[name]) if name == "skip" else words[name] for name in ASKED)


def measure_points(points: Iterable[Point], store: Store) -> Iterator[dict[str, Any]]:
    """Measure what the points differ in on this host, machines and dtypes apart; what is measured is kept."""
    for wanted in dict.fromkeys(asked(point.to_dict()) for point in points):
        words = dict(zip(ASKED, wanted, strict=True))
        name = _PREFIX + json.dumps(wanted)
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
