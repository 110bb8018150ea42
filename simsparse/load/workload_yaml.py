"""Workload YAML to the operator graph; the language is told in :mod:`simsparse.load.workload_spec`."""

from __future__ import annotations

from pathlib import Path

from simsparse.errors import UsageError
from simsparse.ir import Workload
from simsparse.load.document import read_document, validated
from simsparse.load.graph import Graph
from simsparse.load.lower import lower
from simsparse.load.workload_expand import MisfitError, expand
from simsparse.load.workload_spec import workload_adapter


def load_workload_yaml(path: str | Path, *, batch: int | None = None, seq: int | None = None) -> Graph:
    """The graph that the workload file at ``path`` describes.

    Parameters
    ----------
    path
        A workload YAML.
    batch, seq
        Values for the file's parameters of these names, instead of those it states.

    Raises
    ------
    FileError
        If the file has mistakes; the message has one line for each.
    UsageError
        If ``batch`` or ``seq`` is given and the file has no such parameter, or the value is below 1.
    """
    document = read_document(path)
    spec = validated(document, workload_adapter())
    overrides = {key: value for key, value in (("batch", batch), ("seq", seq)) if value is not None}
    for key, value in overrides.items():
        if key not in spec.parameters:
            known = ", ".join(spec.parameters) or "none"
            raise UsageError(
                f"{spec.name}: expected a parameter of this workload, got {key} (known: {known})"
            )
        if value < 1:
            raise UsageError(f"{spec.name}: expected {key} >= 1, got {value}")
    try:
        return expand(spec, overrides)
    except MisfitError as misfit:
        raise document.error(misfit.mistakes.items()) from None


def load_workload(path: str | Path, *, batch: int | None = None, seq: int | None = None) -> Workload:
    """The layers of the workload file at ``path``: :func:`load_workload_yaml`, then lowered."""
    return lower(load_workload_yaml(path, batch=batch, seq=seq))
