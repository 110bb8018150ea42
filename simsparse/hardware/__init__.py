"""Hardware models: one machine as frozen values, and the parameters of each dataflow family."""

from simsparse.hardware.accelerators import (
    BroadcastCscParameters,
    ScalarCscParameters,
    SystolicParameters,
    TensorCoreParameters,
)
from simsparse.hardware.cpu import CpuRowsParameters
from simsparse.hardware.gpu import GpuTilesParameters
from simsparse.hardware.machine import (
    DTYPE_BITS,
    DataflowParameters,
    FormatSupport,
    HardwareModel,
    MachineKind,
    MemoryLevel,
    Source,
    SourceStatus,
)

__all__ = [
    "DTYPE_BITS",
    "BroadcastCscParameters",
    "CpuRowsParameters",
    "DataflowParameters",
    "FormatSupport",
    "GpuTilesParameters",
    "HardwareModel",
    "MachineKind",
    "MemoryLevel",
    "ScalarCscParameters",
    "Source",
    "SourceStatus",
    "SystolicParameters",
    "TensorCoreParameters",
]
