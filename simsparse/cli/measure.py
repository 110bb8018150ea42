"""``simsparse measure``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.cli.artefacts import check_folders, write_measurement_html
from simsparse.cli.output import console, print_json
from simsparse.errors import FileError

if TYPE_CHECKING:
    from simsparse.measure.measure import Progress

INTERRUPTED = 130
Threads = Annotated[int, Parameter("--threads", help="Threads of our kernels and of the dense library.")]
Repeat = Annotated[int, Parameter("--repeat", help="Runs of each; medians count.")]
CaptureFile = Annotated[
    Path | None,
    Parameter(
        "--capture", help="Write density, zeros and strength of every layer's input to this .npz file."
    ),
]
Inputs = Annotated[
    Path | None, Parameter("--inputs", help="An .npz with the network's inputs by name; random otherwise.")
]
Grams = Annotated[
    bool,
    Parameter(
        "--grams", negative="", show_default=False, help="Capture Gram matrices too, for obs and sparsegpt."
    ),
]
On = Annotated[
    str | None,
    Parameter("--on", help="Machine file to predict with; by default this host's own, if it was calibrated."),
]


def measure(
    model: o.Model,
    /,
    *,
    prune: o.Prune = None,
    criterion: o.Criterion = "magnitude",
    calibration: o.CalibrationFile = None,
    allocation: o.Allocation = "uniform",
    skip: o.Skip = (),
    format: o.Format = "auto",  # noqa: A002  (the public word for it)
    threads: Threads = 1,
    repeat: Repeat = 20,
    batch: o.Batch = None,
    seq: o.Seq = None,
    seed: o.Seed = 0,
    on: On = None,
    plan: o.Plan = None,
    inputs: Inputs = None,
    capture: CaptureFile = None,
    grams: Grams = False,
    all_layers: o.AllLayers = False,
    json: o.Json = False,
    csv: o.Csv = None,
    html: o.Html = None,
) -> int:
    """Run a pruned model on this host: measured beside predicted and beside the best dense library."""
    check_folders(csv, capture, html)
    from simsparse.measure.measure import measure as start
    from simsparse.report.measured import measurement_to_dict, print_measurement, write_measurement_csv

    try:
        with _watched() as progress:
            found = start(
                model,
                prune=prune,
                criterion=criterion,
                calibration=calibration,
                allocation=allocation,
                skip=skip,
                format=format,
                threads=threads,
                repeat=repeat,
                batch=batch,
                seq=seq,
                seed=seed,
                on=on,
                plan=plan,
                inputs=inputs,
                capture=capture,
                grams=grams,
                progress=progress,
            )
    except KeyboardInterrupt:
        if json:
            print_json({"model": model, "interrupted": True, "runs": 0, "layers": []})
        raise
    if json:
        print_json(measurement_to_dict(found))
    else:
        print_measurement(console(), found, all_layers=all_layers)
    if csv is not None:
        try:
            write_measurement_csv(found, csv)
        except OSError as error:
            raise FileError(
                [f"{csv}: expected a writable file, got: {error.strerror} (choose another path)"]
            ) from None
    if html is not None:
        write_measurement_html(found, html)
    return INTERRUPTED if found.interrupted else 0


@contextmanager
def _watched() -> Iterator[Progress]:
    """A line on stderr that says how far it is, where stderr is a terminal."""
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:

        def progress(what: str, done: int, total: int) -> None:
            status.update(f"{what} {done}/{total}" if total > 1 else what)

        yield progress
