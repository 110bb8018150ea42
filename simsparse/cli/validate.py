"""``simsparse validate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.output import console, print_json
from simsparse.errors import RequirementError


def validate(
    *targets: Annotated[str, Parameter(help="Names of targets (simsparse list targets); all by default.")],
    json: o.Json = False,
) -> None:
    """Compare our results with published ones."""
    from simsparse.validation import validate as compare

    checks = compare(targets)
    if json:
        print_json([{**asdict(check), "error": check.error, "ok": check.ok} for check in checks])
    else:
        from simsparse.report.checks import print_checks

        print_checks(console(), checks)
    failed = [check for check in checks if not check.ok]
    if failed:
        first = f"{failed[0].target} {failed[0].row} {failed[0].quantity}"
        got = f"got {len(failed)} of {len(checks)} outside"
        raise RequirementError(f"validate: expected all rows within tolerance, {got} (first: {first})")
