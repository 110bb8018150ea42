"""The shipped profiles: published per-layer sparsities, read from data and found by name.

``profile_data/index.csv`` has one row per profile: its names, the file and columns it is read from, and what
the numbers mean; the other files are the published tables, each row with its source. Layers match by name
after `normalised`; where that is not enough, ``aliases.csv`` says which layer a published row is (``-`` for
none) and may correct its number of weights. Several rows of one layer are averaged, weighted by their
weights.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import prod

from simsparse.errors import UnknownNameError, UsageError
from simsparse.ir import Workload
from simsparse.pruning.profile import Profile, ProfileLayer, normalised

Row = dict[str, str]
_NO_LAYER = "-"


def profile_names() -> tuple[str, ...]:
    """All names, short ones too, in the order of the index; ``scnn`` stands for several networks."""
    return tuple(dict.fromkeys(name for profile in all_profiles() for name in (profile.name, *profile.short)))


def profiles_for(workload: Workload) -> tuple[Profile, ...]:
    """The profiles that were published for this model."""
    return tuple(profile for profile in all_profiles() if profile.belongs_to(workload))


def find_profile(name: str, workload: Workload) -> Profile:
    """The profile called ``name`` that was published for ``workload``.

    Raises
    ------
    UnknownNameError
        If there is no profile of that name.
    UsageError
        If it was published for another model; the message lists those of this one.
    """
    named = [profile for profile in all_profiles() if name in (profile.name, *profile.short)]
    if not named:
        raise UnknownNameError("profile", name, profile_names())
    fitting = [profile for profile in named if profile.belongs_to(workload)]
    if not fitting:
        there = ", ".join(profile.name for profile in profiles_for(workload)) or "there is none"
        networks = ", ".join(profile.network for profile in named)
        raise UsageError(
            f"profile {name}: expected a model with the layers of {networks}, got {workload.name}"
            f" (profiles of {workload.name}: {there})"
        )
    return fitting[0]


@cache
def all_profiles() -> tuple[Profile, ...]:
    """Every shipped profile, in the order of the index."""
    profiles: dict[str, Profile] = {}
    for entry in _table("index.csv"):
        sizes = profiles[entry["weights_from"]].layers if entry["weights_from"] else {}
        profile = _read(entry, sizes)
        profiles[f"{profile.name} {profile.network}" if profile.name in profiles else profile.name] = profile
    return tuple(profiles.values())


def _table(file: str) -> list[Row]:
    text = (files("simsparse.pruning") / "profile_data" / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _read(entry: Row, sizes: Mapping[str, ProfileLayer]) -> Profile:
    wanted = dict(pair.split("=", 1) for pair in entry["rows"].split(";") if pair)
    rows = [
        row for row in _table(entry["file"]) if all(row[column] == value for column, value in wanted.items())
    ]
    aliases = {row["published"]: row for row in _table("aliases.csv") if row["network"] == entry["network"]}
    layers: dict[str, list[ProfileLayer]] = {}
    for row in rows:
        published = row[entry["layer_column"]]
        alias = aliases.get(published)
        if alias and alias["layer"] == _NO_LAYER:
            continue
        name = normalised(alias["layer"] if alias else published)
        size = sizes[name].weights if name in sizes else _size(row, entry, alias)
        layers.setdefault(name, []).append(_layer(row, entry, size))
    return Profile(
        name=entry["name"],
        short=tuple(entry["short"].split()),
        network=entry["network"],
        method=entry["method"],
        source=rows[0]["source"],
        layers={name: _mean(parts) for name, parts in layers.items()},
    )


def _size(row: Row, entry: Row, alias: Row | None) -> int | None:
    if alias and alias["weights"]:
        return int(alias["weights"])
    columns = [column for column in entry["weights_columns"].split("*") if column]
    return prod(int(row[column]) for column in columns) if columns else None


def _layer(row: Row, entry: Row, size: int | None) -> ProfileLayer:
    value = float(row[entry["value_column"]].rstrip("%"))
    if entry["unit"] == "sparsity_pct":
        density = 1.0 - value / 100.0
    elif entry["unit"] == "kept_weights":
        density = value / (size or 1)
    else:
        density = value
    activation = float(row[entry["activation_column"]]) if entry["activation_column"] else None
    return ProfileLayer(density=density, weights=size, activation_density=activation)


def _mean(parts: list[ProfileLayer]) -> ProfileLayer:
    if len(parts) == 1:
        return parts[0]
    sizes = [part.weights or 1 for part in parts]
    activations = [part.activation_density for part in parts if part.activation_density is not None]
    return ProfileLayer(
        density=sum(part.density * size for part, size in zip(parts, sizes, strict=True)) / sum(sizes),
        weights=sum(sizes),
        activation_density=sum(activations) / len(activations) if activations else None,
    )
