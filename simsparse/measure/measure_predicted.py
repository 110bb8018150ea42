"""What the machine file of this host says the same layers take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simsparse.errors import SimsparseError
from simsparse.hardware import HardwareModel
from simsparse.measure.predict import read_seconds
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
    formats: Mapping[str, str],
    residuals: Collection[str] = (),
) -> dict[str, float]:
    """Seconds of the operators in the ``formats`` they ran in, as far as it can predict them.

    Those in ``residuals`` also add a tensor of the shape of their output.
    """
    layers = {layer.name: layer for layer in source.workload.layers}
    known: dict[tuple[str, str], float | None] = {}
    times: dict[str, float] = {}
    for name in formats:
        layer = layers.get(source.layer_of(name))
        if layer is None:
            continue
        key = (layer.name, formats[name])
        if key not in known:
            mask = None if formats[name] == "dense" else masks(name)
            try:
                known[key] = simulate_layer(layer, machine, mask, format=formats[name]).time_s
            except SimsparseError:  # a format or layer that the machine file does not know
                known[key] = None
        time_s = known[key]
        if time_s is not None:
            added = 4 * layer.m * layer.n if name in residuals else 0
            times[name] = time_s + read_seconds(machine, added)
    return times
