"""A run as one self-contained HTML page: it loads nothing, and runs no script but its own two."""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError, UsageError
from simsparse.report.figures import Figure, run_figures
from simsparse.report.page_run import run_context
from simsparse.results import Run

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment


def html(run: Run, *, measured: pd.DataFrame | None = None) -> str:
    """The page of a run, as text.

    Parameters
    ----------
    measured
        A row per layer with ``layer``, ``predicted_s`` and ``measured_s``, where the model was also measured.
    """
    figures = run_figures(run, measured)
    return render("run.html", title=f"{run.model} on {run.hardware}", figures=figures, **run_context(run))


def write_page(text: str, path: str | Path) -> None:
    """Write a page to ``path``.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as error:
        raise FileError([f"{path}: expected a writable file, got: {error.strerror}"]) from None


def render(template: str, *, title: str, figures: Sequence[Figure], **context: Any) -> str:
    """A page from one of the templates beside this file, with its figures and scripts inside.

    Raises
    ------
    UsageError
        If the installed plotly brings no script.
    """
    from markupsafe import Markup

    script, plotly = _asset("page.js"), _plotly()
    specs = {figure.name: figure.spec for figure in figures if figure.spec}
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            figures=figures,
            policy=_policy(plotly, script),
            style=Markup(_asset("style.css")),
            script=Markup(script),
            plotly=Markup(plotly),
            figures_json=Markup(_json(specs)),
            **context,
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=PackageLoader("simsparse.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # captions hold names that are escaped for Plotly already
    found.filters["labelled"] = lambda text: Markup(escaping.escape(escaping.unescape(text)))
    return found


def _json(specs: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(specs, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return (files("simsparse.report") / "assets" / name).read_text("utf-8")


@cache
def _plotly() -> str:
    file = files("plotly") / "package_data" / "plotly.min.js"
    if not file.is_file():
        raise UsageError(
            f"report: expected plotly with its script, got none at {file} (install plotly again)"
        )
    return file.read_text("utf-8")
