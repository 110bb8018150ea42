"""A workload whose layers are pruned in different patterns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from simsparse.ir import Layer, Workload
from simsparse.pattern import Dense, Pattern
from simsparse.pruning.arrays import Mask
from simsparse.pruning.notes import about_seeds
from simsparse.pruning.prune import Allocation, prune
from simsparse.pruning.pruned import Pruned


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedPruned(Pruned):
    """A `Pruned` that asks another one for each layer in ``parts``; itself it holds the rest."""

    parts: Mapping[str, Pruned] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """What stands for the pattern of the whole."""
        return "mixed"

    def pattern_of(self, layer: Layer) -> Pattern:
        """The pattern asked for in ``layer``."""
        return self.parts[layer.name].pattern if layer.name in self.parts else self.pattern

    def mask(self, layer: Layer) -> Mask | None:
        """True where a weight ``(m, k)`` is kept."""
        part = self.parts.get(layer.name)
        return Pruned.mask(self, layer) if part is None else part.mask(layer)

    def weights_and_mask(self, layer: Layer) -> tuple[NDArray[np.float32], Mask | None]:
        """Both at once, which draws or loads the weights once only."""
        part = self.parts.get(layer.name)
        return Pruned.weights_and_mask(self, layer) if part is None else part.weights_and_mask(layer)

    def sparsity_of(self, layer: Layer) -> float:
        """Share of the layer's weights that the mask removes."""
        part = self.parts.get(layer.name)
        return Pruned.sparsity_of(self, layer) if part is None else part.sparsity_of(layer)


def prune_mixed(
    workload: Workload,
    patterns: Mapping[str, Pattern],
    pattern: Pattern | None = None,
    *,
    criterion: str = "magnitude",
    allocation: Allocation = "uniform",
    seed: int = 0,
    skip: Sequence[str] = (),
) -> Pruned:
    """Prune the layers named in ``patterns`` each in its own, evenly, and the rest in ``pattern``.

    Raises
    ------
    PatternError
        If a pattern does not apply to its layer.
    """
    names = [layer.name for layer in workload.layers if layer.kind.has_weights]
    kept = [*skip, *(name for name in patterns if name in names)]
    base = prune(
        workload,
        pattern,
        criterion=criterion,
        allocation=allocation,
        seed=seed,
        skip=_escaped(kept, skip) if pattern is not None else (),
    )
    parts: dict[str, Pruned] = {}
    for chosen in dict.fromkeys(patterns.values()):
        members = [name for name in names if patterns.get(name) == chosen]
        others = [name for name in names if name not in members]
        if isinstance(chosen, Dense):
            part = prune(workload, None, criterion=criterion, seed=seed)
        else:
            part = prune(workload, chosen, criterion=criterion, seed=seed, skip=_escaped(others, ()))
        parts.update(dict.fromkeys(members, part))
    copied = {item.name: getattr(base, item.name) for item in fields(base) if item.init}
    named = {name: part.densities[name] for name, part in parts.items() if name in part.densities}
    densities = {**base.densities, **named}
    changes = {"densities": densities, "notes": _notes([base, *parts.values()], densities, seed)}
    return MixedPruned(**{**copied, **changes}, parts=parts)


def _notes(members: Sequence[Pruned], densities: Mapping[str, float], seed: int) -> tuple[str, ...]:
    """Notes of all members, but one count of seeded layers."""
    workload = members[0].workload

    def seeds(names: Collection[str]) -> list[str]:
        return about_seeds(workload, [layer for layer in workload.layers if layer.name in names], seed, "")

    counted = [note for member in members for note in seeds(member.densities)]
    said = [note for member in members for note in member.notes if note not in counted]
    return tuple(dict.fromkeys([*said, *seeds(densities)]))


def _escaped(names: Sequence[str], globs: Sequence[str]) -> tuple[str, ...]:
    """Names as globs that match themselves only; what is a glob already stays one."""
    from glob import escape

    return tuple(name if name in globs else escape(name) for name in names)
