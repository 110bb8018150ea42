"""Files that a command writes beside what it prints."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsparse.errors import FileError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from simsparse.explanation import PlanBook
    from simsparse.hardware import HardwareModel
    from simsparse.measurement import Measurement
    from simsparse.results import Run
    from simsparse.sweep.study import Study


def check_folders(*paths: Path | None) -> None:
    """Refuse paths in folders that do not exist, before anything is computed.

    Raises
    ------
    FileError
        With one line for each.
    """
    lost = [path for path in paths if path is not None and not path.absolute().parent.is_dir()]
    if lost:
        raise FileError(
            f"{path}: expected a folder to write to, got none of that name (make it first)" for path in lost
        )


def write_html(run: Run, path: Path, measured: pd.DataFrame | None = None) -> None:
    """The page of a run."""
    from simsparse.report.page import html, write_page

    write_page(html(run, measured=measured), path)


def explained(run: Run, book: PlanBook, hardware: HardwareModel) -> Run:
    """The run with where its speed-up went; as it is where nothing was pruned."""
    from simsparse.explanation import explain_run

    try:
        return dataclasses.replace(run, explanation=explain_run(run, book, hardware))
    except UsageError:
        return run


def write_timeline(run: Run, book: PlanBook, hardware: HardwareModel, path: Path) -> None:
    """The timeline of a run; what of it was summed up is said on stderr."""
    from simsparse.explanation.timeline import record
    from simsparse.report.trace import write_trace

    about = write_trace(run, record(run, book, hardware), path)
    sys.stderr.write(f"{path}: {timeline_words(about)}\n")


def timeline_words(about: Any) -> str:
    """What a timeline holds, in words."""
    shown, layers = about["layers_tile_by_tile"], about["layers"]
    return (
        f"{about['events']} events of at most {about['events_limit']},"
        f" {shown} of {layers} layers tile by tile, the others summed up by lane"
    )


def write_study_html(study: Study, path: Path, title: str) -> None:
    """The page of a study."""
    from simsparse.report.page import write_page
    from simsparse.report.page_study import study_html

    page = study_html(study.frame(), study.pareto(), study.crossovers(), title=title, missing=study.missing)
    write_page(page, path)


def write_measurement_html(measurement: Measurement, path: Path) -> None:
    """The page of a measurement."""
    from simsparse.report.page import write_page
    from simsparse.report.page_measured import measurement_html

    write_page(measurement_html(measurement), path)
