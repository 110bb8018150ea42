"""The validation targets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from simsparse.errors import UnknownNameError
from simsparse.validation import eie, eyeriss_v2_pe, tensor_core
from simsparse.validation.check import Check

TARGETS: Mapping[str, Callable[[], list[Check]]] = {
    "eyeriss-v2-pe": eyeriss_v2_pe.checks,
    "eie": eie.checks,
    "tensor-core": tensor_core.checks,
}


def target_names() -> tuple[str, ...]:
    """Names that `validate` takes."""
    return tuple(TARGETS)


def validate(targets: Sequence[str] = ()) -> list[Check]:
    """Our results beside the published ones, for the named targets or all.

    Raises
    ------
    UnknownNameError
        If there is no such target.
    """
    for name in targets:
        if name not in TARGETS:
            raise UnknownNameError("target", name, TARGETS)
    return [check for name in targets or TARGETS for check in TARGETS[name]()]
