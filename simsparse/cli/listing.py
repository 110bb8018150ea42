"""What ``simsparse list`` knows about each kind: names with a line about each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from simsparse.errors import UsageError

Entry = tuple[str, str]


def entries(kind: str) -> list[Entry]:
    """Names of a kind, each with a line about it."""
    return _LISTS[kind]()


def template_text(kind: str) -> str:
    """The YAML of a bundled machine of a kind, under a name of its own.

    Raises
    ------
    UsageError
        If no bundled machine is of that kind.
    """
    from simsparse.load.catalog import bundled_file, load_hardware, names

    for name in sorted(names("hardware"), key=lambda name: (name != "tensor-core", name)):
        file = bundled_file("hardware", name)
        if file is not None and load_hardware(name).kind == kind:
            return re.sub(r"(?m)^name: .*$", f"name: my-{kind}", file.read_text("utf-8"), count=1)
    raise UsageError(f"show: expected a bundled machine of kind {kind}, got none (simsparse list hardware)")


def _hardware() -> list[Entry]:
    return [(name, f"{data.get('kind')}: {data.get('title')}") for name, data in _bundled("hardware")]


def _workloads() -> list[Entry]:
    return [(name, str(data.get("title") or data.get("source") or "")) for name, data in _bundled("workload")]


def _bundled(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and plain data: a line about each needs no validation, which would load pydantic."""
    from simsparse.load.catalog import bundled_file, names
    from simsparse.load.document import read_document

    for name in names(kind):
        file = bundled_file(kind, name)
        if file is not None:
            yield name, read_document(file).data


def _formats() -> list[Entry]:
    from simsparse.formats import format_names
    from simsparse.formats.registry import format_class

    return [(name, _about(format_class(name))) for name in format_names()]


def _patterns() -> list[Entry]:
    from simsparse.pattern import FORMS, parse_pattern

    return [(form, _about(type(parse_pattern(form)))) for form in FORMS]


def _profiles() -> list[Entry]:
    from simsparse.pruning.profiles import all_profiles

    return [
        (profile.name, f"{profile.network}, {profile.method} ({profile.source})")
        for profile in all_profiles()
    ]


def _criteria() -> list[Entry]:
    from simsparse.pruning.criteria import criteria

    return list(criteria().items())


def _allocations() -> list[Entry]:
    about = {
        "uniform": "the same sparsity in every layer",
        "erk": "Erdős-Rényi-Kernel: small layers keep more",
        "global": "one threshold over all layers",
    }
    from simsparse.pruning.allocation import ALLOCATIONS

    return [(name, about.get(name, "")) for name in ALLOCATIONS] + [
        ("PROFILE", "densities as published: simsparse list profiles")
    ]


def _targets() -> list[Entry]:
    from simsparse.validation import target_names

    return [
        (name, "published figures to compare with: simsparse validate " + name) for name in target_names()
    ]


def _dtypes() -> list[Entry]:
    from simsparse.hardware import DTYPE_BITS

    return [(name, f"{bits} bits") for name, bits in DTYPE_BITS.items()]


def _about(thing: type) -> str:
    first = (inspect.getdoc(thing) or "").split("\n\n")[0]
    return " ".join(first.split()).replace("``", "")


_LISTS: dict[str, Callable[[], list[Entry]]] = {
    "hardware": _hardware,
    "workloads": _workloads,
    "formats": _formats,
    "patterns": _patterns,
    "profiles": _profiles,
    "criteria": _criteria,
    "allocations": _allocations,
    "targets": _targets,
    "dtypes": _dtypes,
}
