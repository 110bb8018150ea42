"""What a result must say about how its masks came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simsparse.ir import Layer, Workload
from simsparse.pattern import NM, VNM, Head, Pattern
from simsparse.pruning.profile import Profile

_SHOWN = 5


def listed(what: str, names: Sequence[str]) -> list[str]:
    """One note that names at most five layers; no note where there are none.

    >>> listed("stay dense", ["a", "b", "c", "d", "e", "f", "g"])
    ['stay dense: a, b, c, d, e and 2 more']
    """
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what}: {', '.join(names[:_SHOWN])}{more}"]


def about_pattern(
    pattern: Pattern, allocation: str | Mapping[str, float], profile: Profile | None, layers: Sequence[Layer]
) -> list[str]:
    """Shorter groups and blocks, and numbers that were not used."""
    said: list[str] = []
    if isinstance(pattern, NM | VNM):
        ragged = [f"{layer.name} (k={layer.k})" for layer in layers if layer.k % pattern.group]
        said += listed(f"{pattern}: the last group along k is shorter and padded with zeros", ragged)
        if allocation != "uniform":
            said.append(f"{pattern} keeps the same share in every layer; the allocation is not used")
    elif profile is not None:
        said.append(f"allocation {profile.name}: sparsities as published, not the number in {pattern}")
    elif not isinstance(allocation, str):
        said.append(
            f"allocation: sparsities as given by layer, not the number in {pattern}; other layers stay dense"
        )
    if isinstance(pattern, VNM):
        short = [f"{layer.name} (m={layer.m})" for layer in layers if layer.m % pattern.rows]
        said += listed(f"{pattern}: the last block of rows is shorter", short)
    if isinstance(pattern, Head):
        said.append(f"{pattern}: heads are ranked in each layer apart, and attention products keep all heads")
    return said


def about_profile(profile: Profile, gaps: Sequence[str], workload: Workload) -> list[str]:
    """Where a published table comes from, and the layers (``gaps``) it left dense."""
    return [
        f"profile {profile.name}: {profile.network}, {profile.method} ({profile.source})",
        *listed(f"profile {profile.name}: not in it and left dense", gaps),
        *listed(f"profile {profile.name}: published for another size", profile.resized(workload)),
    ]


def about_seeds(
    workload: Workload, layers: Sequence[Layer], seed: int, allocation: str | Mapping[str, float]
) -> list[str]:
    """How many pruned layers have weights from a seed, and what that does to a global threshold."""
    seeded = sum(layer.name not in workload.weights for layer in layers)
    if not seeded:
        return []
    blind = ["global threshold: seeded weights shrink with sqrt(2 / k), so layers of large k lose most"]
    return [
        *(blind if allocation == "global" else []),
        f"weights of {seeded} of {len(layers)} pruned layers are normal draws from seed {seed}:"
        " the model brought none",
    ]
