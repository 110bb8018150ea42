"""What a study varies: lists that multiply, lists that go in pairs, combinations that are left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simsparse.errors import SimsparseError, UnknownNameError, UsageError, nearest
from simsparse.formats import format_names
from simsparse.hardware import DTYPE_BITS
from simsparse.load.document import Mistake
from simsparse.load.hardware_override import Value
from simsparse.load.phases import INFERENCE, PHASES, Phase
from simsparse.pattern import parse_pattern
from simsparse.pruning.allocation import ALLOCATIONS
from simsparse.pruning.profiles import profile_names

AXES = (
    "models",
    "on",
    "prune",
    "format",
    "dtype",
    "batch",
    "seq",
    "activation_density",
    "criterion",
    "allocation",
    "seed",
)
"""The lists of a study, outermost first; each field of ``set`` is one more."""
ALL = "all"
"""The format that stands for every format a machine reads."""
_RANGE = re.compile(r"(unstructured|block:\d+x\d+|channel|filter|head):([\d.]+):([\d.]+):(\d+)")
_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpec:
    """The lists of a study. An empty one stands for what the model or machine brings."""

    models: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    prune: tuple[str, ...] = ()
    format: tuple[str, ...] = ("auto",)
    dtype: tuple[str, ...] = ()
    batch: tuple[int, ...] = ()
    seq: tuple[int, ...] = ()
    activation_density: tuple[float, ...] = ()
    criterion: tuple[str, ...] = ("magnitude",)
    allocation: tuple[str, ...] = ("uniform",)
    seed: tuple[int, ...] = (0,)
    set: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Fields of the machines by dotted path."""
    zip: tuple[tuple[str, ...], ...] = ()
    """Groups of lists of equal length that are walked in step instead of multiplied."""
    exclude: tuple[Mapping[str, tuple[Value, ...]], ...] = ()
    """Points that agree with all entries of one of these are left out."""
    skip: tuple[str, ...] = ()
    """Layers to leave dense, as globs."""
    columns: int | None = None
    """Width of the operand that single matrices meet; in every point, as ``phase`` is."""
    phase: Phase = INFERENCE
    """``train`` is one step with Adam and dense gradients; ``prefill`` and ``decode`` are for decoders."""
    measure: bool = False
    """Also execute each model on this host."""


def patterns(texts: Sequence[str]) -> tuple[str, ...]:
    """Patterns in their own writing, ranges written out.

    Raises
    ------
    PatternError
        If a text is no pattern.
    UsageError
        If a range has fewer than two steps or too many.

    >>> patterns(["unstructured:0.5:0.9:3", "2:4"])
    ('unstructured:0.5', 'unstructured:0.7', 'unstructured:0.9', '2:4')
    """
    found: dict[str, None] = {}
    for text in texts:
        match = _RANGE.fullmatch(text.strip().lower())
        if match is None:
            found[str(parse_pattern(text))] = None
            continue
        kind, start, stop, steps = match[1], float(match[2]), float(match[3]), int(match[4])
        if not 2 <= steps <= _MOST_STEPS:
            raise UsageError(
                f'prune: expected 2 to {_MOST_STEPS} steps, got "{text}" (write {kind}:0.5:0.9:5)'
            )
        width = (stop - start) / (steps - 1)
        found.update({str(parse_pattern(f"{kind}:{start + i * width:.6g}")): None for i in range(steps)})
    return tuple(found)


def mistakes(spec: StudySpec) -> list[Mistake]:
    """Every name and number in a study that cannot be used, with its place in the lists."""
    found: list[Mistake] = []
    for axis in AXES:
        for index, value in enumerate(getattr(spec, axis)):
            text = _wrong(axis, value)
            if text:
                found.append(((axis, index), text))
    for what in ("models", "on"):
        if not getattr(spec, what):
            found.append(((what,), f"expected at least one, got none (write {what}: [{_EXAMPLES[what]}])"))
    return [*found, *_wrong_settings(spec), *_wrong_groups(spec)]


def _wrong_settings(spec: StudySpec) -> Iterator[Mistake]:
    """What holds for all points and cannot."""
    if spec.phase not in PHASES:
        yield ("phase",), str(UnknownNameError("phase", spec.phase, PHASES))
    if spec.columns is not None and spec.columns < 1:
        yield ("columns",), f"expected a whole number >= 1, got {spec.columns}"
    if spec.measure and (spec.phase != INFERENCE or spec.columns is not None):
        yield ("measure",), "expected no phase or columns beside it (what is executed is inference)"


_EXAMPLES = {"models": "resnet50", "on": "a100-80gb"}


def _wrong(axis: str, value: object) -> str:
    try:
        _CHECKS[axis](value)
    except SimsparseError as error:
        return str(error)
    return ""


def _known(kind: str, names: Callable[[], Sequence[str]]) -> Callable[[object], None]:
    def check(value: object) -> None:
        if value not in names():
            raise UnknownNameError(kind, str(value), names())

    return check


def _at_least(what: str, low: int) -> Callable[[object], None]:
    def check(value: object) -> None:
        if not isinstance(value, int) or value < low:
            raise UsageError(f"{what}: expected a whole number >= {low}, got {value}")

    return check


def _pattern(value: object) -> None:
    patterns([str(value)])


def _share(value: object) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"activation_density: expected 0 to 1, got {value}")


def _machine(value: object) -> None:
    from simsparse.load.catalog import names

    if not str(value).lower().endswith((".yaml", ".yml")):
        hint = "simsparse list hardware, or a path that ends in .yaml"
        if value not in names("hardware"):
            raise UnknownNameError("hardware", str(value)[:100], names("hardware"), hint=hint)


def _model(value: object) -> None:
    from simsparse.load.catalog import workload_file
    from simsparse.load.inline import is_inline, parse_inline

    text = str(value)
    if is_inline(text):
        parse_inline(text)
    elif "." not in text and "/" not in text and not Path(text).is_dir():
        workload_file(text)


def _criterion(value: object) -> None:
    from simsparse.pruning.criteria import CRITERIA

    if value not in CRITERIA:
        raise UnknownNameError("criterion", str(value), CRITERIA)


_CHECKS: Mapping[str, Callable[[object], None]] = {
    "models": _model,
    "on": _machine,
    "prune": _pattern,
    "format": _known("format", lambda: ("auto", ALL, *format_names())),
    "dtype": _known("dtype", lambda: tuple(DTYPE_BITS)),
    "batch": _at_least("batch", 1),
    "seq": _at_least("seq", 1),
    "activation_density": _share,
    "criterion": _criterion,
    "allocation": _known("allocation", lambda: (*ALLOCATIONS, *profile_names())),
    "seed": _at_least("seed", 0),
}


def _wrong_groups(spec: StudySpec) -> Iterator[Mistake]:
    """Lists in ``zip`` and ``exclude`` that do not exist or do not fit."""
    axes = (*AXES, *spec.set)
    for path, values in spec.set.items():
        if not values:
            yield ("set", path), "expected at least one value, got none"
    used: set[str] = set()
    for index, group in enumerate(spec.zip):
        for name in group:
            if name not in axes:
                yield ("zip", index), _unknown_axis(name, axes)
            elif name in used:
                yield ("zip", index), f"expected each list once, got {name} twice"
            used.add(name)
        lengths = {name: len(axis_values(spec, name)) for name in group if name in axes}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            yield ("zip", index), f"expected lists of equal length, got {said}"
    for index, rule in enumerate(spec.exclude):
        for name in rule:
            if name not in axes:
                yield ("exclude", index, name), _unknown_axis(name, axes)
        if not rule:
            yield ("exclude", index), "expected lists to compare with, got none (write on: [eie])"


def axis_values(spec: StudySpec, name: str) -> tuple[Value | None, ...]:
    """The values a list stands for; one None where it is empty."""
    if name in spec.set:
        return spec.set[name]
    values: tuple[Value, ...] = getattr(spec, name)
    if name == "prune":
        values = patterns(spec.prune)
    return values or (None,)


def _unknown_axis(name: str, axes: Sequence[str]) -> str:
    near = nearest(name, axes)
    out = f"did you mean {near[0]}?" if near else f"known: {', '.join(axes)}"
    return f'expected a list of the study, got "{name}" ({out})'
