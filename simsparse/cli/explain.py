"""``simsparse explain``."""

from __future__ import annotations

from simsparse.cli import options as o
from simsparse.cli.output import console, print_json


def explain(
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
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Show where the speed-up went: from 1 / density to the actual one, cause by cause."""
    from simsparse.explanation import explain as start

    explanation = start(
        model,
        on=on,
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
        seed=seed,
    )
    if json:
        from simsparse.report.json import explanation_to_dict

        print_json(explanation_to_dict(explanation))
    else:
        from simsparse.report.explanation import print_explanation

        print_explanation(console(), explanation)
