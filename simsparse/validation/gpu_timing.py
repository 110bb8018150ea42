"""Times of single GPU kernels: a product, a storage format, and a mask, planned and executed.

Products of the published tables are large, so weights whose rows all store alike are described by one row.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from simsparse.dataflows import plan_layer
from simsparse.dataflows.task import ActivationOperand, LayerTask, WeightOperand
from simsparse.engine import execute
from simsparse.formats import make_format
from simsparse.formats.base import Footprint
from simsparse.hardware import DTYPE_BITS, GpuTilesParameters, HardwareModel
from simsparse.ir import gemm_layer

BoolArray = NDArray[np.bool_]
Shape = tuple[int, int, int]
"""Rows of the weights, positions along k, columns of the inputs."""


def kernel_s(
    machine: HardwareModel, shape: Shape, stored_as: str, mask: BoolArray | None = None, dtype: str = "fp16"
) -> float:
    """Seconds of one product; without a mask the weights are dense, or 2:4 in rows that all store alike."""
    m, k, n = shape
    layer = gemm_layer(stored_as, m, k, n)
    support = machine.formats[stored_as.split(":")[0]]
    form = dataclasses.replace(make_format(stored_as), **support.parameters)  # type: ignore[type-var]
    bits = DTYPE_BITS[dtype]
    if mask is None:
        rows = getattr(form, "rows", 1)
        row = np.tile(np.arange(4) < (4 if form.name == "dense" else 2), (rows, -(-k // 4)))[:, :k]
        footprint = _times(form.footprint(np.ascontiguousarray(row), value_bits=bits), m // rows)
    else:
        footprint = form.footprint(mask, value_bits=bits)
    task = LayerTask(
        layer=layer,
        hardware=machine,
        weights=WeightOperand(m, k, mask),
        activations=ActivationOperand(layer),
        format=form,
        support=support,
        footprint=footprint,
        dtype=dtype,
    )
    return execute(plan_layer(task).plan).total_cycles / machine.clock_hz


def with_library(machine: HardwareModel, name: str) -> HardwareModel:
    """The machine with the kernel of a library that its file lists beside the default one."""
    gpu = gpu_of(machine)
    return dataclasses.replace(machine, dataflow=gpu.with_library(name)) if name else machine


def gpu_of(machine: HardwareModel) -> GpuTilesParameters:
    """The machine's GPU parameters."""
    found = machine.dataflow
    if not isinstance(found, GpuTilesParameters):
        raise TypeError(f"{machine.name}: expected a GPU, got {found.family}")
    return found


def _times(one: Footprint, count: int) -> Footprint:
    return dataclasses.replace(
        one, **{field.name: getattr(one, field.name) * count for field in dataclasses.fields(one)}
    )
