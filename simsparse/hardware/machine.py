"""One machine: compute, memory levels, what it does with zeros, overheads, energy per action.

Every number has a source; :attr:`HardwareModel.sources` maps the dotted path of each number to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from simsparse.errors import UsageError
from simsparse.hardware.accelerators import (
    BroadcastCscParameters,
    ScalarCscParameters,
    SystolicParameters,
    TensorCoreParameters,
)
from simsparse.hardware.cartesian import CartesianParameters, PlanarDenseParameters
from simsparse.hardware.cpu import CpuRowsParameters
from simsparse.hardware.flexible_tree import FlexibleTreeParameters
from simsparse.hardware.format_port import FormatPortParameters
from simsparse.hardware.gpu import GpuTilesParameters
from simsparse.hardware.indexed_synapse import IndexedSynapseParameters
from simsparse.hardware.inner_join import InnerJoinParameters
from simsparse.hardware.mesh_csc import MeshCscParameters
from simsparse.hardware.outer_product import OuterProductParameters
from simsparse.hardware.row_stationary import RowStationaryParameters

_BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "int16": 16, "int8": 8, "fp8": 8, "int4": 4}
DTYPE_BITS: Mapping[str, int] = _BITS

DataflowParameters = (
    SystolicParameters
    | TensorCoreParameters
    | BroadcastCscParameters
    | ScalarCscParameters
    | GpuTilesParameters
    | CpuRowsParameters
    | CartesianParameters
    | PlanarDenseParameters
    | RowStationaryParameters
    | FlexibleTreeParameters
    | OuterProductParameters
    | FormatPortParameters
    | InnerJoinParameters
    | IndexedSynapseParameters
    | MeshCscParameters
)

SourceStatus = Literal["verified", "memory", "derived", "fitted", "assumed"]


class MachineKind(StrEnum):
    """What sort of machine it is."""

    ACCELERATOR = "accelerator"
    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a number comes from; ``memory`` and ``assumed`` are shown as unverified."""

    text: str
    status: SourceStatus = "verified"

    @property
    def verified(self) -> bool:
        """Whether the number was read in its source or follows from such numbers."""
        return self.status in ("verified", "derived")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One level of the memory hierarchy; outermost first in :attr:`HardwareModel.memory`."""

    name: str
    capacity_bytes: float | None = None
    bandwidth_bytes_per_s: float | None = None
    """Read and write together; None where the level never limits."""
    latency_s: float = 0.0
    overlap: bool = True
    """Whether transfers overlap with compute (double buffering) or are serial with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSupport:
    """What the machine does with weights in one storage format.

    ``skip``: removed weights cost no compute time. ``gate``: they cost time but no multiplier energy.
    ``store``: the format saves traffic and capacity only and is decoded on its way in. ``unpack``: it is
    converted once, when a model is loaded, so it saves storage only; ``auto`` does not try it.
    """

    role: Literal["skip", "gate", "store", "unpack"]
    decode_weights_per_cycle: float | None = None
    """Dense positions the decoder produces per cycle and unit; None where decoding never limits."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Parameters of the format itself, such as its index width or block shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareModel:
    """A machine that layers can be planned on."""

    name: str
    title: str
    kind: MachineKind
    description: str
    clock_hz: float
    technology_nm: float
    units: int
    """PEs, SMs or cores that tiles are given to."""
    macs_per_cycle: Mapping[str, float]
    """Dense multiply-adds per cycle and unit, by dtype; its keys are the dtypes the machine computes in."""
    default_dtype: str
    memory: tuple[MemoryLevel, ...]
    dataflow: DataflowParameters
    formats: Mapping[str, FormatSupport]
    energy_pj: Mapping[str, Mapping[str, float]]
    """pJ by component and action."""
    vector_operations_per_cycle: float | None = None
    """Element-wise operations per cycle of the whole machine; None if it cannot run layers without a
    product.
    """
    epilogue: tuple[Literal["activation", "elementwise", "normalization", "softmax"], ...] = ()
    """Kinds of layer applied to results on their way out, without a pass over memory and without time of
    their own.
    """
    launch_s: float = 0.0
    """Fixed cost of starting one layer."""
    static_w: float = 0.0
    """Leakage, clock and idle power, drawn for the whole run."""
    tdp_w: float | None = None
    not_modelled: tuple[str, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = f"hardware {self.name}"
        if self.clock_hz <= 0 or self.technology_nm <= 0 or self.units < 1:
            raise UsageError(f"{where}: expected clock_hz, technology_nm > 0 and units >= 1")
        if self.default_dtype not in self.macs_per_cycle:
            known = ", ".join(self.macs_per_cycle)
            raise UsageError(f'{where}: default_dtype: expected one of {known}, got "{self.default_dtype}"')
        for level in self.memory:
            if level.bandwidth_bytes_per_s is not None and level.bandwidth_bytes_per_s <= 0:
                raise UsageError(f"{where}: memory {level.name}: expected bandwidth_bytes_per_s > 0")

    def level(self, name: str) -> MemoryLevel:
        """The memory level called ``name``.

        Raises
        ------
        UsageError
            If the machine has no such level.
        """
        for level in self.memory:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.memory)
        raise UsageError(f'hardware {self.name}: expected a memory level among {known}, got "{name}"')

    def bytes_per_cycle(self, level: str) -> float | None:
        """Bandwidth of a memory level in bytes per clock cycle; None where it never limits."""
        bandwidth = self.level(level).bandwidth_bytes_per_s
        return None if bandwidth is None else bandwidth / self.clock_hz

    def peak_macs_per_s(self, dtype: str) -> float:
        """Dense multiply-adds per second of the whole machine."""
        return self.macs_per_cycle[dtype] * self.units * self.clock_hz
