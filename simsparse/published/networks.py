"""The published sparse networks: how each was pruned, what it reached, and where that is written.

Only figures with a stated source. Weights of these networks are not at hand: masks are seeded, in the pattern
and with the spread over layers that the source states.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from simsparse.errors import UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetwork:
    """One network; ``value`` is its ``metric``, and ``better`` says in which direction that improves."""

    models: tuple[str, ...]
    label: str
    pattern: str | None
    """None where the allocation is a published profile that brings it."""
    allocation: str
    skip: tuple[str, ...]
    metric: str
    better: str
    value: float
    source: str

    @property
    def is_dense(self) -> bool:
        """Whether nothing was pruned."""
        return self.pattern == "dense"

    @property
    def loss(self) -> float:
        """The metric so that less is better."""
        return -self.value if self.better == "higher" else self.value


@cache
def all_networks() -> tuple[PublishedNetwork, ...]:
    """Every network, in the order of the file."""
    text = (files("simsparse.published") / "networks.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedNetwork(
            models=tuple(row["models"].split()),
            label=row["label"],
            pattern=row["pattern"] or None,
            allocation=row["allocation"],
            skip=tuple(row["skip"].split()),
            metric=row["metric"],
            better=row["better"],
            value=float(row["value"]),
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def published_models() -> tuple[str, ...]:
    """The models that have published networks."""
    return tuple(dict.fromkeys(model for network in all_networks() for model in network.models))


def published_networks(model: str) -> tuple[PublishedNetwork, ...]:
    """The published networks of a bundled model.

    Raises
    ------
    UnknownNameError
        If there are none.
    """
    found = tuple(network for network in all_networks() if model in network.models)
    if not found:
        raise UnknownNameError("model with published sparse networks", model, published_models())
    return found
