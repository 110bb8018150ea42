"""Where a layer's activations live: on chip between layers when input and output fit together, else in
DRAM.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.dataflows.task import LayerTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """DRAM traffic of a layer's activations in bytes; zero when they stay in the on-chip buffer."""

    input_bytes: int
    output_bytes: int
    notes: tuple[str, ...] = ()


def residency(task: LayerTask, *, input_passes: int = 1) -> Residency:
    """DRAM bytes of inputs and outputs, given the capacity of the machine's level ``buffer``.

    An input that fits half the buffer is read once; a larger one is read once per pass over it.
    """
    layer = task.layer
    inputs, outputs = (
        task.activation_bytes(layer.input_elements),
        task.activation_bytes(layer.output_elements),
    )
    capacity = task.hardware.level("buffer").capacity_bytes
    if capacity is None or inputs + outputs <= capacity:
        return Residency(input_bytes=0, output_bytes=0)
    passes = input_passes if inputs > capacity / 2 else 1
    note = "activations that do not fit the on-chip buffer cross DRAM"
    return Residency(input_bytes=inputs * passes, output_bytes=outputs, notes=(note,))
