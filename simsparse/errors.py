"""The exception tree. Every mistake a person can make ends in one of these, on one line.

::

    SimsparseError                      exit code
    ├── UsageError                      2   a name, option or file that cannot be used
    │   ├── UnknownNameError            2   no such model, machine, format, … (says the nearest ones)
    │   ├── PatternError                2   a pruning pattern that cannot be read or applied
    │   ├── ShapeError                  2   arrays or layers whose shapes do not fit
    │   ├── FormatError                 2   a storage format that cannot hold or read this matrix
    │   └── FileError                   2   a file with mistakes, all of them at once
    ├── UnsupportedError                3   nothing in the model can be simulated
    └── RequirementError                4   a ``--require`` or a validation target was missed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SimsparseError(Exception):
    """Base of all errors that are not bugs; ``exit_code`` is what the command line returns."""

    exit_code = 2


class UsageError(SimsparseError):
    """A name, an option or a file that cannot be used."""


class UnknownNameError(UsageError):
    """No such name; the message offers the nearest known ones.

    >>> str(UnknownNameError("format", "cssr", ["csr", "csc", "dense"]))
    'format: expected a known name, got "cssr" (did you mean csr?)'
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str | None = None) -> None:
        known = sorted(known)
        near = nearest(name, known)
        out = f"did you mean {', '.join(near)}?" if near else hint or f"known: {', '.join(known)}"
        super().__init__(f'{kind}: expected a known name, got "{name}" ({out})')


class PatternError(UsageError):
    """A pruning pattern that cannot be read, or that does not apply to a layer."""


class ShapeError(UsageError):
    """Arrays or layers whose shapes do not fit each other."""


class FormatError(UsageError):
    """A storage format that cannot hold this matrix, or an encoding that is damaged."""


class FileError(UsageError):
    """A file with mistakes; ``mistakes`` holds one line each and the message all of them."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class UnsupportedError(SimsparseError):
    """Nothing in the model can be simulated on this machine."""

    exit_code = 3


class RequirementError(SimsparseError):
    """A ``--require`` condition or a validation target was missed."""

    exit_code = 4


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three known names that look like ``name``, best first.

    >>> nearest("resnet5", ["resnet50", "vgg16", "resnet18"])
    ['resnet50', 'resnet18']
    """
    return difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
