"""The door: workload × pattern × criterion × allocation → `Pruned`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from simsparse.errors import PatternError, UnknownNameError, UsageError, nearest
from simsparse.ir import Layer, Workload
from simsparse.pattern import NM, VNM, Dense, Head, Pattern, Unstructured
from simsparse.pruning import notes
from simsparse.pruning.allocation import ALLOCATIONS, erk, uniform
from simsparse.pruning.calibration import Calibration
from simsparse.pruning.criteria import find_criterion
from simsparse.pruning.criterion import Criterion
from simsparse.pruning.global_threshold import global_threshold
from simsparse.pruning.matrix import matrix_options
from simsparse.pruning.profile import Profile
from simsparse.pruning.profiles import find_profile, profile_names
from simsparse.pruning.pruned import Pruned, layer_scores, spare_weights
from simsparse.pruning.tiles import Tile, TilePattern, tile_of

Allocation = str | Mapping[str, float]
"""``uniform``, ``erk``, ``global``, the name of a profile, or sparsities by layer name."""


def prune(
    workload: Workload,
    pattern: Pattern | None = None,
    *,
    criterion: str | Criterion = "magnitude",
    calibration: Calibration | None = None,
    allocation: Allocation = "uniform",
    seed: int = 0,
    skip: Sequence[str] = (),
) -> Pruned:
    """Decide which weights of ``workload`` are kept; masks are made later, one layer at a time.

    Every layer with weights is pruned except depthwise convolutions, which have few weights, and layers
    without heads under a head pattern; both stay dense with a note. A profile or a table prunes the layers it
    names. N:M and V:N:M keep the same share everywhere and use no allocation.

    Parameters
    ----------
    pattern
        None or dense leaves the zeros that the model brought; None with a profile means unstructured, None
        with criterion ``given`` the masks of the calibration data as they are.
    calibration
        What criteria such as ``wanda`` know about each layer besides its weights.
    allocation
        ``uniform``, ``erk``, ``global``, a profile's name, or a table of sparsities by layer name.
    skip
        Layers to leave dense, as globs of their names.

    Raises
    ------
    UnknownNameError
        If there is no such criterion, allocation, profile or layer.
    UsageError
        If a profile belongs to another model, a glob matches no layer, or a number is out of range.
    PatternError
        If the pattern does not apply to a layer, or to none.
    """
    chosen = find_criterion(criterion, calibration)
    profile = _profile(allocation, workload)
    unused_number = profile if pattern is not None else None
    if pattern is None and profile is not None:
        pattern = Unstructured(1.0 - (profile.overall_density or 0.0))
    if pattern is None or isinstance(pattern, Dense):
        return Pruned(
            workload=workload,
            pattern=Dense(),
            criterion=chosen,
            seed=seed,
            densities=_with_own_masks(chosen, workload, skip),
            profile=profile,
        )
    kept_dense = _skipped(workload, skip)
    candidates = [la for la in workload.layers if la.kind.has_weights and la.name not in kept_dense]
    table = _table(allocation, profile, workload)
    layers, said = _touched(candidates, pattern, table)
    tiles = {} if isinstance(pattern, NM | VNM) else _tiles(layers, pattern)
    if isinstance(pattern, NM | VNM):
        densities = uniform(layers, 1.0 - pattern.sparsity)
    elif table is not None:
        densities = {layer.name: table[layer.name] for layer in layers}
    else:
        densities = _allocate(str(allocation), layers, pattern, tiles, workload, chosen, seed)
    said += notes.about_pattern(pattern, allocation, unused_number, layers)
    if profile is not None:
        gaps = [la.name for la in candidates if la.name not in densities]
        said += notes.about_profile(profile, gaps, workload)
    said += notes.about_seeds(workload, layers, seed, allocation)
    return Pruned(
        workload=workload,
        pattern=pattern,
        criterion=chosen,
        seed=seed,
        densities=densities,
        notes=tuple(said),
        profile=profile,
    )


def is_depthwise(layer: Layer) -> bool:
    """Whether each group of a convolution has a single input channel."""
    conv = layer.conv
    return (
        conv is not None
        and layer.groups > 1
        and layer.groups == conv.in_channels
        and layer.k == conv.kernel_height * conv.kernel_width
    )


def _with_own_masks(criterion: Criterion, workload: Workload, skip: Sequence[str]) -> dict[str, float]:
    """Densities of the layers whose mask the criterion brings."""
    if criterion.own_masks is None:
        return {}
    left_out = _skipped(workload, skip)
    masks = {
        layer.name: criterion.own_masks(layer)
        for layer in workload.layers
        if layer.kind.has_weights and layer.name not in left_out
    }
    found = {name: float(mask.mean()) for name, mask in masks.items() if mask is not None}
    if not found:
        raise UsageError(f"criterion {criterion}: expected masks for layers of {workload.name}, got none")
    return found


def _profile(allocation: Allocation, workload: Workload) -> Profile | None:
    if not isinstance(allocation, str) or allocation in ALLOCATIONS:
        return None
    known = (*ALLOCATIONS, *profile_names())
    if allocation not in known:
        raise UnknownNameError("allocation", allocation, known)
    return find_profile(allocation, workload)


def _table(allocation: Allocation, profile: Profile | None, workload: Workload) -> dict[str, float] | None:
    """Densities by layer name where they are given, else None."""
    if profile is not None:
        published = ((layer.name, profile.density(layer)) for layer in workload.layers)
        return {name: density for name, density in published if density is not None}
    if isinstance(allocation, str):
        return None
    known = [layer.name for layer in workload.layers if layer.kind.has_weights]
    for name, sparsity in allocation.items():
        if name not in known:
            raise UnknownNameError(f"allocation: layer of {workload.name}", name, known)
        if not 0.0 <= sparsity <= 1.0:
            raise UsageError(f"allocation: layer {name}: expected a sparsity from 0 to 1, got {sparsity:g}")
    return {name: 1.0 - sparsity for name, sparsity in allocation.items()}


def _skipped(workload: Workload, skip: Sequence[str]) -> set[str]:
    names = [layer.name for layer in workload.layers if layer.kind.has_weights]
    found: set[str] = set()
    for glob in skip:
        matches = {name for name in names if fnmatchcase(name, glob)}
        if not matches:
            way_out = ", ".join(nearest(glob, names) or names[:3])
            raise UsageError(
                f'skip: expected a glob of layer names, got "{glob}", which matches none (try {way_out})'
            )
        found |= matches
    return found


def _touched(
    candidates: Sequence[Layer], pattern: Pattern, table: Mapping[str, float] | None
) -> tuple[list[Layer], list[str]]:
    """The layers that get pruned, and notes on those left out."""
    layers, said = list(candidates), []
    if table is not None and not isinstance(pattern, NM | VNM):
        layers = [layer for layer in layers if layer.name in table]
    else:
        said += notes.listed(
            "depthwise convolutions stay dense", [la.name for la in layers if is_depthwise(la)]
        )
        layers = [layer for layer in layers if not is_depthwise(layer)]
    if isinstance(pattern, Head):
        headless = [layer.name for layer in layers if not layer.heads]
        said += notes.listed(f"{pattern}: layers without attention heads stay dense", headless)
        layers = [layer for layer in layers if layer.heads]
        if not layers and candidates:
            raise PatternError(
                f"{pattern}: expected a layer with attention heads, got none (filter:0.5 removes rows)"
            )
    return layers, said


def _tiles(layers: Sequence[Layer], pattern: TilePattern) -> dict[str, Tile]:
    return {layer.name: tile_of(pattern, (layer.m, layer.k), **matrix_options(layer)) for layer in layers}


def _allocate(
    name: str,
    layers: Sequence[Layer],
    pattern: TilePattern,
    tiles: Mapping[str, Tile],
    workload: Workload,
    criterion: Criterion,
    seed: int,
) -> dict[str, float]:
    density = 1.0 - pattern.sparsity
    if name == "uniform":
        return uniform(layers, density)
    if name == "erk":
        return erk(layers, density)
    return global_threshold(
        layers,
        density,
        tiles,
        lambda layer: layer_scores(layer, criterion, lambda: spare_weights(workload, layer, seed), seed),
    )
