"""``simsparse sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.artefacts import check_folders, write_study_html
from simsparse.cli.output import console, print_json
from simsparse.errors import FileError, RequirementError, UnsupportedError, UsageError
from simsparse.load.phases import Phase

if TYPE_CHECKING:
    from simsparse.load.study_spec import StudySpec
    from simsparse.sweep.points import Grid
    from simsparse.sweep.study import Study


def _list(name: str, help_: str) -> Parameter:
    return Parameter(name, help=help_, negative="", show_default=False)


Words = tuple[str, ...]
Folder = Annotated[
    Path | None,
    Parameter(
        "--folder", help="Where results are kept; by default STUDY.study beside a study file, else study."
    ),
]


def sweep(
    *models: Annotated[str, Parameter(help="Models, or one study .yaml.")],
    on: Annotated[Words, _list("--on", "Machines, comma-separated or repeated.")] = (),
    prune: Annotated[Words, _list("--prune", "Patterns; unstructured:0.5:0.98:7 is seven sparsities.")] = (),
    format: Annotated[Words, _list("--format", "Formats; all is every one a machine reads.")] = (),  # noqa: A002
    dtype: Annotated[Words, _list("--dtype", "Number types.")] = (),
    batch: Annotated[Words, _list("--batch", "Batch sizes.")] = (),
    seq: Annotated[Words, _list("--seq", "Sequence lengths.")] = (),
    activation_density: Annotated[Words, _list("--activation-density", "Shares of nonzero inputs.")] = (),
    criterion: Annotated[Words, _list("--criterion", "Which weights go.")] = (),
    allocation: Annotated[Words, _list("--allocation", "How sparsity is spread over layers.")] = (),
    seed: Annotated[Words, _list("--seed", "Seeds.")] = (),
    skip: o.Skip = (),
    columns: o.Columns = None,
    phase: o.Phase = "inference",
    change: Annotated[
        Words, _list("--set", "A field of the machines and values to try, units=64,256; repeatable.")
    ] = (),
    folder: Folder = None,
    resume: Annotated[
        bool, Parameter("--resume", negative="", help="Add to a folder that holds another study.")
    ] = False,
    jobs: Annotated[
        int | None,
        Parameter("--jobs", help="Processes, one per core by default; on Dask the workers to wait for."),
    ] = None,
    executor: Annotated[
        str | None, Parameter("--executor", help="serial, processes or dask://host:port.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter("--dry-run", negative="", help="Say how many points and how long, and stop.")
    ] = False,
    crossover: Annotated[
        bool, Parameter("--crossover", help="Look for the sparsity from which on each format pays.")
    ] = True,
    accuracy: Annotated[
        Path | None, Parameter("--accuracy", help="CSV of accuracies, such as model,pattern,accuracy.")
    ] = None,
    json: o.Json = False,
    csv: Annotated[Path | None, Parameter("--csv", help="Also write the points to this file.")] = None,
    parquet: Annotated[
        Path | None, Parameter("--parquet", help="Also write the points to this file.")
    ] = None,
    html: o.Html = None,
) -> None:
    """Simulate all combinations of lists: Pareto front, crossovers, best formats.

    Every finished point is kept: run the same command again after an interruption and only what is missing is
    computed. Exit code 3 means that every point failed, 4 that some did.
    """
    from simsparse.cli.progress import Progress
    from simsparse.sweep.executors import workers
    from simsparse.sweep.points import expand
    from simsparse.sweep.run import check, run

    check_folders(csv, parquet, html)
    lists = {"on": on, "prune": prune, "format": format, "dtype": dtype, "batch": batch, "seq": seq}
    lists |= {"activation_density": activation_density, "criterion": criterion, "allocation": allocation}
    lists["seed"] = seed
    shape: Settings = {"columns": columns, "phase": phase}
    told = {name: (str(value),) for name, value in shape.items() if value not in (None, "inference")}
    file = _study_file(models, {**lists, "set": change, "skip": skip, **told})
    spec = _from_file(file) if file is not None else _from_flags(models, lists, skip, change, **shape)
    check(spec)
    grid = expand(spec)
    where = workers(executor, jobs)
    with Progress(len(grid.points)) as progress:
        progress.say(_announcement(grid, where.count))
        if dry_run:
            _print_dry_run(grid, where.count, json=json)
            where.close()
            return
        place = folder or (file.with_suffix(".study") if file is not None else Path("study"))
        study = run(
            grid,
            where,
            crossover=crossover,
            accuracy=accuracy,
            folder=place,
            resume=resume,
            notice=progress.tell,
            measure=spec.measure,
        )
    _show(study, json=json)
    if csv is not None:
        _write(study.to_csv, csv)
    if parquet is not None:
        _write(study.to_parquet, parquet)
    if html is not None:
        write_study_html(study, html, f"Study {place.resolve().name}")
    _judge(study)


def _study_file(models: Words, lists: dict[str, Words]) -> Path | None:
    files = [name for name in models if name.lower().endswith((".yaml", ".yml")) and _is_study(name)]
    if not files:
        return None
    flags = [f"--{name.replace('_', '-')}" for name, values in lists.items() if values]
    if len(models) > 1 or flags:
        got = ", ".join([*models[1:], *flags])
        raise UsageError(f"sweep: expected a study file alone, got also {got} (write it into {files[0]})")
    return Path(files[0])


def _is_study(name: str) -> bool:
    from simsparse.load.checking import yaml_kind

    return yaml_kind(name) == "study"


def _from_file(file: Path) -> StudySpec:
    from simsparse.load.study_yaml import load_study

    return load_study(file)


class Settings(TypedDict, total=False):
    """What holds for every point."""

    columns: int | None
    phase: Phase


def _from_flags(
    models: Words, lists: dict[str, Words], skip: Words, change: Words, **shape: Unpack[Settings]
) -> StudySpec:
    """The lists as given, split at commas; inline layers have commas of their own."""
    from simsparse.load.hardware_override import parse_change
    from simsparse.load.study_spec import StudySpec

    split = {
        name: tuple(part for text in texts for part in text.split(",") if part)
        for name, texts in lists.items()
    }
    numbers = {
        name: tuple(_number(name, text) for text in split.pop(name)) for name in ("batch", "seq", "seed")
    }
    shares = tuple(_number("activation_density", text, float) for text in split.pop("activation_density"))
    given = {name: values for name, values in {**split, **numbers}.items() if values}
    changes = dict(parse_change(text) for text in change)
    return StudySpec(models=models, skip=skip, activation_density=shares, set=changes, **shape, **given)  # type: ignore[arg-type]


def _number(name: str, text: str, kind: type = int) -> float:
    try:
        return kind(text)  # type: ignore[no-any-return]
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f'--{name.replace("_", "-")}: expected {what}, got "{text}"') from None


def _estimate_s(grid: Grid, count: int) -> float:
    from simsparse.sweep.chunking import estimated_s

    return estimated_s([("", point) for point in grid.points], grid) / count


def _announcement(grid: Grid, count: int) -> str:
    processes = "one process" if count == 1 else f"{count} processes"
    return f"{len(grid.points)} points, about {_duration(_estimate_s(grid, count))} in {processes}"


def _print_dry_run(grid: Grid, count: int, *, json: bool) -> None:
    if json:
        data = {
            "points": len(grid.points),
            "estimated_s": _estimate_s(grid, count),
            "left_out": dict(grid.left_out),
        }
        print_json(data)
        return
    out = console()
    out.print(_announcement(grid, count))
    for reason, left in grid.left_out.items():
        out.print(f"left out: {reason} ({left} points)")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _show(study: Study, *, json: bool) -> None:
    from simsparse.report.study import print_study, study_to_dict

    if json:
        print_json(study_to_dict(study))
    else:
        print_study(console(), study)
        if study.folder is not None:
            console().print(f"\nKept in {study.folder}")


def _write(writer: object, path: Path) -> None:
    try:
        writer(path)  # type: ignore[operator]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError([f"{path}: expected a writable file, got: {reason} (choose another path)"]) from None


def _judge(study: Study) -> None:
    failed = study.failed
    if not failed:
        return
    first = f"{failed[0][0].model} on {failed[0][0].hardware}: {failed[0][1]}"
    if len(failed) == len(study.grid):
        raise UnsupportedError(
            f"sweep: expected at least one point to succeed, got none of {len(failed)} ({first})"
        )
    raise RequirementError(
        f"sweep: expected all points, got {len(failed)} of {len(study.grid)} failed ({first})"
    )
