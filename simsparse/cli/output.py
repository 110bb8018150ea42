"""Where output goes: results to stdout; rich decides on colour by terminal and ``NO_COLOR``."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


class _Results(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which knows the exit code."""
        raise BrokenPipeError


def console() -> Console:
    """The console of results, without guessing at markup, emoji or numbers in names."""
    return _Results(markup=False, emoji=False, highlight=False)


def print_json(data: Any) -> None:
    """One JSON value and a line break."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
