"""``simsparse check`` and ``simsparse schema``."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from simsparse.cli.output import print_json
from simsparse.errors import FileError, SimsparseError


def check(
    *files: Annotated[
        str,
        Parameter(
            help="Machines, workloads, studies, plans, models: whatever the other commands take as a file "
            "or folder.",
            required=True,
        ),
    ],
) -> None:
    """Check the files of machines, workloads, models, studies and plans; print every mistake."""
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


Kind = Literal["hardware", "workload", "study", "plan", "run", "explanation"]


def schema(kind: Annotated[Kind, Parameter(help="A file of yours, or a result.")], /) -> None:
    """Print the JSON Schema of a kind of file, or of a result."""
    print_json(_schema(kind))


def _schema(kind: Kind) -> dict[str, Any]:
    if kind == "run":
        from simsparse.report.schema import run_schema

        return run_schema()
    if kind == "explanation":
        from simsparse.report.schema import explanation_schema

        return explanation_schema()
    if kind == "hardware":
        from simsparse.load.hardware_schema import hardware_schema

        return hardware_schema()
    if kind == "study":
        from simsparse.load.study_yaml import study_schema

        return study_schema()
    if kind == "plan":
        from simsparse.load.plan_yaml import plan_schema

        return plan_schema()
    from simsparse.load.workload_spec import workload_adapter

    return workload_adapter().json_schema()
