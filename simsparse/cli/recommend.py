"""``simsparse recommend``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.output import console, print_json
from simsparse.cli.require import check_requirements, parse_requirement
from simsparse.errors import FileError, UsageError

if TYPE_CHECKING:
    from simsparse.sweep.recommend import Recommendation
    from simsparse.sweep.search import Budget

_SEARCHED = (
    "dense",
    "unstructured:0.5",
    "unstructured:0.7",
    "unstructured:0.8",
    "unstructured:0.9",
    "unstructured:0.95",
)
_BY_FORMAT = {"nm": "2:4", "vnm": "v64:2:8", "bsr": "block:4x4:0.8"}


def recommend(
    model: o.Model,
    /,
    *,
    on: o.On,
    prune: Annotated[
        tuple[str, ...],
        Parameter(
            "--prune",
            negative="",
            show_default=False,
            help="Pattern of the zeros; with --search the patterns to choose from, repeatable.",
        ),
    ] = (),
    criterion: o.Criterion = "magnitude",
    calibration: o.CalibrationFile = None,
    allocation: o.Allocation = "uniform",
    skip: o.Skip = (),
    dtype: o.Dtype = None,
    batch: o.Batch = None,
    seq: o.Seq = None,
    columns: o.Columns = None,
    phase: o.LoadedPhase = None,
    activation_density: o.ActivationDensity = None,
    activations: o.ActivationsFile = None,
    seed: o.Seed = 0,
    crossover: Annotated[
        bool, Parameter("--crossover", help="Look for the sparsity from which on each layer pays.")
    ] = True,
    search: Annotated[
        int | None,
        Parameter("--search", help="Choose each layer's pattern too, in this many trials (needs --budget)."),
    ] = None,
    budget: Annotated[
        str | None,
        Parameter("--budget", help='What the search must meet: "time_s<=0.001", energy_j or stored_bytes.'),
    ] = None,
    plan: Annotated[
        Path | None, Parameter("--plan", help="Write the choice to this file, for simulate --plan.")
    ] = None,
    json: o.Json = False,
    require: o.Require = (),
) -> None:
    """Find the best format of each layer, and the sparsity from which on it pays."""
    requirements = [parse_requirement(text) for text in require]
    if plan is not None and not plan.absolute().parent.is_dir():
        raise FileError([f"{plan}: expected a folder to write to, got none of that name (make it first)"])
    options: dict[str, object] = {
        "dtype": dtype,
        "activation_density": activation_density,
        "seed": seed,
        "criterion": criterion,
    }
    shape: dict[str, Any] = {"batch": batch, "seq": seq, "columns": columns, "phase": phase}
    if search is not None or budget is not None:
        if allocation != "uniform" or skip or calibration is not None or activations is not None:
            raise UsageError(
                "--search: expected no --allocation, --skip, --calibration or --activations beside it"
                " (the search spreads sparsity itself)"
            )
        found = _searched(model, on, prune, search, _budget(budget), shape, options)
    else:
        options |= {"calibration": calibration, "activations": activations, "crossover": crossover, **shape}
        found = _plain(model, on, prune, allocation, skip, options)
    _show(found, json=json)
    if plan is not None:
        _write(found, plan)
        if not json:
            console().print(f"\nNext: simsparse simulate {model} --on {on} --plan {plan}", soft_wrap=True)
    check_requirements(found.run, requirements)


def _plain(
    model: str,
    on: str,
    prune: tuple[str, ...],
    allocation: str,
    skip: tuple[str, ...],
    options: Mapping[str, object],
) -> Recommendation:
    from simsparse.sweep.recommend import recommend as find

    if len(prune) > 1:
        raise UsageError(f"--prune: expected one pattern, got {len(prune)} (add --search to choose by layer)")
    return find(
        model,
        on=on,
        prune=prune[0] if prune else None,
        allocation=allocation,
        skip=skip,
        **options,  # type: ignore[arg-type]
    )


def _searched(
    model: str,
    on: str,
    prune: tuple[str, ...],
    trials: int | None,
    budget: Budget,
    shape: Mapping[str, Any],
    options: Mapping[str, object],
) -> Recommendation:
    import dataclasses

    from simsparse.load.catalog import load_hardware, load_model
    from simsparse.load.study_spec import patterns
    from simsparse.sweep.recommend import recommendation_of
    from simsparse.sweep.search import search, tabulate

    if trials is None or trials < 0:
        raise UsageError("--search: expected a number of trials >= 0 (0 takes the first solution)")
    workload, hardware = load_model(model, **shape), load_hardware(on)
    natural = [text for name, text in _BY_FORMAT.items() if name in hardware.formats]
    texts = patterns(prune or (*_SEARCHED, *natural))
    table = tabulate(workload, hardware, texts, budget, **options)  # type: ignore[arg-type]
    found = search(table, workload, budget, trials=trials)
    plan = dataclasses.replace(
        found.plan,
        model=model,
        hardware=hardware.name,
        criterion=str(options["criterion"]),
        seed=int(str(options["seed"])),
    )
    sys.stderr.write(
        f"{budget.figure} {found.cost:.4g} of {budget.most:.4g}, kept magnitude {found.kept:.4f}"
        f" (before the search {found.kept_first:.4f})\n"
    )
    settings = {name: options[name] for name in ("dtype", "activation_density")}
    return recommendation_of(workload, hardware, plan, **settings)  # type: ignore[arg-type]


def _budget(text: str | None) -> Budget:
    from simsparse.sweep.search import FIGURES, Budget

    figure, comparison, bound = (text or "").partition("<=")
    try:
        most = float(bound)
    except ValueError:
        most = 0.0
    if figure.strip() not in FIGURES or not comparison or most <= 0:
        known = ", ".join(FIGURES)
        raise UsageError(f'--budget: expected such as "time_s<=0.001" ({known}), got "{text or ""}"')
    return Budget(figure=figure.strip(), most=most)


def _show(found: Recommendation, *, json: bool) -> None:
    from simsparse.report.recommendation import print_recommendation, recommendation_to_dict

    if json:
        print_json(recommendation_to_dict(found.run, found.layers))
    else:
        print_recommendation(console(), found.run, found.layers)


def _write(found: Recommendation, path: Path) -> None:
    from simsparse.load.plan_yaml import plan_text

    try:
        path.write_text(plan_text(found.plan, comments=["written by simsparse recommend"]), "utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError([f"{path}: expected a writable file, got: {reason} (choose another path)"]) from None
