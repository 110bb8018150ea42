"""``simsparse report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.artefacts import check_folders, write_html, write_study_html
from simsparse.cli.output import console
from simsparse.errors import FileError


def report(
    source: Annotated[
        Path, Parameter(help="A run as simsparse simulate --json prints it, or a study's folder.")
    ],
    /,
    *,
    html: o.Html = None,
    csv: o.Csv = None,
    energy: Annotated[
        Path | None,
        Parameter(
            "--energy", help="Write every joule with count, price and source: .csv, .json or .parquet."
        ),
    ] = None,
    measured: Annotated[
        Path | None,
        Parameter("--measured", help="A measurement (simsparse measure --json) to show beside the run."),
    ] = None,
    all_layers: o.AllLayers = False,
) -> None:
    """Write a finished run as an HTML page or as tables, without simulating again."""
    check_folders(html, csv, energy)
    if source.is_dir():
        _study(source, html, csv)
        return
    _run(source, html, csv, energy, measured, all_layers=all_layers)


def _study(folder: Path, html: Path | None, csv: Path | None) -> None:
    from simsparse.sweep import open_study

    study = open_study(folder)
    if html is not None:
        write_study_html(study, html, f"Study {folder.resolve().name}")
    if csv is not None:
        study.to_csv(csv)
    if html is None and csv is None:
        from simsparse.report.study import print_study

        print_study(console(), study)


def _run(
    source: Path,
    html: Path | None,
    csv: Path | None,
    energy: Path | None,
    measured: Path | None,
    *,
    all_layers: bool,
) -> None:
    from simsparse.report.read import read_measured, read_run

    run = read_run(source)
    if html is None and csv is None and energy is None:
        from simsparse.report.terminal import print_run

        print_run(console(), run, all_layers=all_layers)
    if html is not None:
        write_html(run, html, None if measured is None else read_measured(measured))
    if csv is not None:
        from simsparse.report.frame import write_csv

        try:
            write_csv(run, csv)
        except OSError as error:
            raise FileError([f"{csv}: expected a writable file, got: {error.strerror}"]) from None
    if energy is not None:
        from simsparse.report.energy import write_energy

        write_energy(run, energy)
