"""``simsparse export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simsparse.cli import options as o
from simsparse.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simsparse.load.graph import Graph


def export(
    model: Annotated[
        str, Parameter(help="Bundled name (simsparse list workloads) or a workload .yaml file.")
    ],
    output: Annotated[Path, Parameter(help="The .onnx file to write.")],
    /,
    *,
    prune: o.Prune = None,
    criterion: o.Criterion = "magnitude",
    calibration: o.CalibrationFile = None,
    allocation: o.Allocation = "uniform",
    skip: o.Skip = (),
    batch: o.Batch = None,
    seq: o.Seq = None,
    seed: o.Seed = 0,
) -> None:
    """Write a pruned model as ONNX; weights are seeded, the removed ones are zero."""
    import numpy as np

    from simsparse.load.calibration_npz import load_calibration
    from simsparse.load.lower import lower
    from simsparse.load.onnx_export import export_onnx
    from simsparse.pattern import parse_pattern
    from simsparse.pruning.prune import prune as choose

    pattern = None if prune is None else parse_pattern(prune)
    graph = _graph(model, batch=batch, seq=seq)
    workload = lower(graph)
    pruned = choose(
        workload,
        pattern,
        criterion=criterion,
        calibration=load_calibration(calibration),
        allocation=allocation,
        skip=skip,
        seed=seed,
    )
    layers = {layer.name: layer for layer in workload.layers}

    def weights(name: str) -> NDArray[np.float32]:
        values, mask = pruned.weights_and_mask(layers[name])
        return values if mask is None else np.where(mask, values, np.float32(0))

    export_onnx(graph, weights, output, seed=seed)
    for note in pruned.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(f"{output}\n")


def _graph(model: str, *, batch: int | None, seq: int | None) -> Graph:
    from simsparse.load.catalog import workload_file
    from simsparse.load.workload_yaml import load_workload_yaml

    if model.lower().endswith(".onnx"):
        raise UsageError(f"export: expected a bundled name or a .yaml file, got {model} (it is ONNX already)")
    return load_workload_yaml(workload_file(model), batch=batch, seq=seq)
