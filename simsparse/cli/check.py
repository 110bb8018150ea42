"""``simsparse check`` and ``simsparse schema``."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from simsparse.cli.output import print_json
from simsparse.errors import FileError, SimsparseError


def check(
    *files: Annotated[
        str,
        Parameter(
            help="Machines, workloads, models: whatever simulate takes as a file or folder.", required=True
        ),
    ],
) -> None:
    """Check the files of machines, workloads and models; print every mistake."""
    from simsparse.load.checking import check_file

    mistakes: list[str] = []
    for file in files:
        try:
            kind = check_file(file)
        except FileError as error:
            mistakes.extend(error.mistakes)
        except SimsparseError as error:
            mistakes.append(f"{file}: {error}")
        else:
            sys.stdout.write(f"{file}: ok ({kind})\n")
    if mistakes:
        raise FileError(mistakes)


def schema(
    kind: Annotated[
        Literal["hardware", "workload", "run", "explanation"], Parameter(help="A file of yours, or a result.")
    ],
    /,
) -> None:
    """Print the JSON Schema of a kind of file, or of a result."""
    if kind == "run":
        from simsparse.report.schema import run_schema

        print_json(run_schema())
    elif kind == "explanation":
        from simsparse.report.schema import explanation_schema

        print_json(explanation_schema())
    elif kind == "hardware":
        from simsparse.load.hardware_schema import hardware_schema

        print_json(hardware_schema())
    else:
        from simsparse.load.workload_spec import workload_adapter

        print_json(workload_adapter().json_schema())
