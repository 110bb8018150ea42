"""What the machine file of this host says the same layers take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simsparse.errors import SimsparseError
from simsparse.hardware import HardwareModel
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
    names: Iterable[str],
) -> dict[str, float]:
    """Seconds of the operators ``names`` in the ``formats`` they ran in, as far as it can predict them."""
    layers = {layer.name: layer for layer in source.workload.layers}
    known: dict[tuple[str, str], float | None] = {}
    times: dict[str, float] = {}
    for name in names:
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
            times[name] = time_s
    return times
