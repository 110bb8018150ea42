"""``simsparse simulate``."""

from __future__ import annotations

import sys

from simsparse.cli import options as o
from simsparse.cli.artefacts import check_folders, explained, write_html, write_timeline
from simsparse.cli.output import console
from simsparse.cli.require import check_requirements, parse_requirement
from simsparse.errors import FileError


def simulate(
    model: o.Model,
    /,
    *,
    on: o.On,
    prune: o.Prune = None,
    criterion: o.Criterion = "magnitude",
    calibration: o.CalibrationFile = None,
    allocation: o.Allocation = "uniform",
    skip: o.Skip = (),
    format: o.Format = "auto",  # noqa: A002  (the public word for it)
    dtype: o.Dtype = None,
    batch: o.Batch = None,
    seq: o.Seq = None,
    columns: o.Columns = None,
    weight_density: o.WeightDensity = None,
    activation_density: o.ActivationDensity = None,
    activations: o.ActivationsFile = None,
    phase: o.Phase = "inference",
    optimizer: o.Optimizer = "adam",
    gradient_density: o.GradientDensity = 1.0,
    seed: o.Seed = 0,
    engine: o.Engine = "compiled",
    plan: o.Plan = None,
    all_layers: o.AllLayers = False,
    json: o.Json = False,
    csv: o.Csv = None,
    html: o.Html = None,
    trace: o.Trace = None,
    require: o.Require = (),
) -> None:
    """Simulate a model on a machine: verdict, table of layers, what to try next."""
    requirements = [parse_requirement(text) for text in require]
    check_folders(csv, html, trace)
    from simsparse.load.catalog import load_hardware
    from simsparse.simulate import simulate as start

    book = None
    if html is not None or trace is not None:
        from simsparse.explanation import PlanBook

        book = PlanBook()
    hardware = load_hardware(on)
    run = start(
        model,
        on=hardware,
        prune=prune,
        criterion=criterion,
        calibration=calibration,
        allocation=allocation,
        skip=skip,
        format=format,
        dtype=dtype,
        batch=batch,
        seq=seq,
        columns=columns,
        weight_density=weight_density,
        activation_density=activation_density,
        activations=activations,
        phase=phase,
        optimizer=optimizer,
        gradient_density=gradient_density,
        seed=seed,
        engine=engine,
        plan=plan,
        observe=book,
    )
    if book is not None and html is not None:
        run = explained(run, book, hardware)
    if json:
        from simsparse.report.json import to_json

        sys.stdout.write(to_json(run) + "\n")
    else:
        from simsparse.report.terminal import print_run

        print_run(console(), run, hardware=hardware, all_layers=all_layers)
    if csv is not None:
        from simsparse.report.frame import write_csv

        try:
            write_csv(run, csv)
        except OSError as error:
            raise FileError(
                [f"{csv}: expected a writable file, got: {error.strerror} (choose another path)"]
            ) from None
    if html is not None:
        write_html(run, html)
    if book is not None and trace is not None:
        write_timeline(run, book, hardware, trace)
    check_requirements(run, requirements)
