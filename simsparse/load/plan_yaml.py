"""Plan files: which format, and where they differ which pattern, each layer of a model gets.

::

    model: resnet50
    hardware: a100-80gb
    prune: unstructured:0.9
    formats:
      conv1: dense
      layer1.0.conv1: csr
    patterns:            # only where layers differ from prune
      conv1: dense

``simsparse recommend`` writes such a file, ``--plan`` reads it. Layers that are not named take what they
would take without a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError, PatternError, UnknownNameError, UsageError
from simsparse.formats import format_names
from simsparse.hardware import HardwareModel
from simsparse.ir import Workload
from simsparse.load.document import Mistake, read_document, validated
from simsparse.pattern import parse_pattern

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """Formats and patterns by layer name, and how the weights were chosen."""

    model: str = ""
    """What it was made for, for people; any model with these layers may use it."""
    hardware: str = ""
    prune: str | None = None
    criterion: str = "magnitude"
    allocation: str = "uniform"
    seed: int = 0
    formats: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)

    def check(self, workload: Workload, hardware: HardwareModel | None = None) -> None:
        """Raise unless the layers are ``workload``'s and the formats are read by ``hardware``.

        Raises
        ------
        FileError
            With one line for each name that does not fit.
        """
        known = [layer.name for layer in workload.layers if layer.kind.has_weights]
        strangers = [name for name in {**self.formats, **self.patterns} if name not in set(known)]
        lines = [str(UnknownNameError(f"plan: layer of {workload.name}", name, known)) for name in strangers]
        if hardware is not None:
            read = ", ".join(hardware.formats)
            unread = dict.fromkeys(name for name in self.formats.values() if name not in hardware.formats)
            lines += [
                f'plan: expected formats that {hardware.name} reads ({read}), got "{name}"'
                " (simsparse recommend writes a plan for this machine)"
                for name in unread
            ]
        if lines:
            raise FileError(lines)


def load_plan(path: str | Path) -> ModelPlan:
    """The plan that a YAML file holds.

    Raises
    ------
    FileError
        With every mistake of the file.
    """
    document = read_document(path)
    plan_ = document.data if isinstance(document.data, dict) else {}
    return validated(document, _adapter(), also=_wrong_names(plan_))


def plan_text(plan: ModelPlan, *, comments: Iterable[str] = ()) -> str:
    """The YAML text of a plan, which :func:`load_plan` reads back."""
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    scalars = ("model", "hardware", "prune", "criterion", "allocation", "seed")
    lines += [
        f"{name}: {_scalar(getattr(plan, name))}" for name in scalars if getattr(plan, name) is not None
    ]
    for name in ("formats", "patterns"):
        entries: Mapping[str, str] = getattr(plan, name)
        if entries:
            lines.append(f"{name}:")
            lines += [f"  {_scalar(layer)}: {_scalar(choice)}" for layer, choice in entries.items()]
    return "\n".join(lines) + "\n"


def _scalar(value: str | int) -> str:
    """A value as YAML reads it back: text in quotes, what does not print as escapes."""
    if not isinstance(value, str):
        return str(value)
    plain = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in plain) + '"'


@cache
def _adapter() -> TypeAdapter[ModelPlan]:
    from pydantic import TypeAdapter

    return TypeAdapter(ModelPlan)


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan file."""
    return _adapter().json_schema() | {"additionalProperties": False}


def _wrong_names(data: Mapping[str, object]) -> list[Mistake]:
    """Formats and patterns that cannot be read; other mistakes are found by validation."""
    found: list[Mistake] = []
    formats, patterns = data.get("formats"), data.get("patterns")
    for layer, name in formats.items() if isinstance(formats, dict) else ():
        if isinstance(name, str) and name not in format_names():
            found.append((("formats", layer), str(UnknownNameError("format", name, format_names()))))
    texts = (
        [(("patterns", layer), text) for layer, text in patterns.items()]
        if isinstance(patterns, dict)
        else []
    )
    for location, text in [(("prune",), data.get("prune")), *texts]:
        try:
            if isinstance(text, str):
                parse_pattern(text)
        except (PatternError, UsageError) as error:
            found.append((location, str(error)))
    return found
