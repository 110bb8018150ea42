"""What the machine file of this host says the same layers take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simsparse.dataflows.cpu_rows import TILED, network_product
from simsparse.dataflows.task import WeightOperand
from simsparse.errors import SimsparseError
from simsparse.hardware import CpuRowsParameters, HardwareModel
from simsparse.ir import Layer
from simsparse.measure.predict import predict_kernels, read_seconds
from simsparse.pruning.arrays import Mask
from simsparse.simulate import simulate_layer

if TYPE_CHECKING:
    from simsparse.measure.measure_source import LayerMasks, Source


def find_host(on: str | None, threads: int) -> HardwareModel | None:
    """The machine to predict with, on ``threads`` of its units: the one named, else this host if calibrated.

    Raises
    ------
    UsageError
        If ``on`` names none, or its file has mistakes.
    """
    from simsparse.load.catalog import HOST, host_file, load_hardware

    if on is None and not host_file().is_file():
        return None
    machine = load_hardware(on or HOST)
    return replace(machine, units=min(threads, machine.units))


def predict(
    machine: HardwareModel,
    source: Source,
    masks: LayerMasks,
    ran: Mapping[str, tuple[str, str]],
    residuals: Collection[str] = (),
) -> dict[str, float]:
    """Seconds of operators by the format and kernel that they ``ran`` in, as far as it can predict them.

    Those in ``residuals`` also add a tensor of the shape of their output.
    """
    layers = {layer.name: layer for layer in source.workload.layers}
    known: dict[tuple[str, str, str], float | None] = {}
    times: dict[str, float] = {}
    for name, (format_, kernel) in ran.items():
        layer = layers.get(source.layer_of(name))
        if layer is None:
            continue
        key = (layer.name, format_, kernel)
        if key not in known:
            mask = None if format_ == "dense" else masks(name)
            known[key] = _seconds(machine, layer, mask, format_, kernel)
        time_s = known[key]
        if time_s is not None:
            added = 4 * layer.m * layer.n if name in residuals else 0
            times[name] = time_s + read_seconds(machine, added)
    return times


def _seconds(
    machine: HardwareModel, layer: Layer, mask: Mask | None, format_: str, kernel: str
) -> float | None:
    """With that very kernel where the machine has it, else with the one that suits the format."""
    try:
        if isinstance(machine.dataflow, CpuRowsParameters) and kernel in TILED:
            product = network_product(machine, layer)
            weights = WeightOperand(layer.m, layer.k, mask)
            return predict_kernels(machine, product, weights, (kernel,))[kernel]
        return simulate_layer(layer, machine, mask, format=format_).time_s
    except SimsparseError:  # a format or layer that the machine file does not know
        return None
