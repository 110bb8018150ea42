"""The plans behind a run's results, noted while it is simulated."""

from __future__ import annotations

import dataclasses

from simsparse.layer_run import Chosen
from simsparse.results import LayerResult


class PlanBook:
    """Given to a simulation as its observer, knows the plan of every result afterwards."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Chosen]] = {}
        self._by_shape: dict[tuple[str, int, int, int], list[Chosen]] = {}

    def __call__(self, chosen: Chosen) -> None:
        """Note a chosen result."""
        self._by_name.setdefault(chosen.layer.name, []).append(chosen)
        self._by_shape.setdefault(_shape(chosen.result), []).append(chosen)

    def of(self, result: LayerResult) -> Chosen:
        """What ``result`` came from; a baseline shared by layers of one shape is found under the first."""
        for chosen in self._by_name.get(result.name, ()):
            if chosen.result is result:
                return chosen
        for chosen in self._by_shape[_shape(result)]:
            if dataclasses.replace(chosen.result, name=result.name) == result:
                return chosen
        raise KeyError(result.name)


def _shape(result: LayerResult) -> tuple[str, int, int, int]:
    return result.kind, result.m, result.k, result.n
