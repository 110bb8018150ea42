"""Hardware models: one machine as frozen values, and the parameters of each dataflow family."""

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
from simsparse.hardware.mesh_csc import MeshCscParameters
from simsparse.hardware.outer_product import OuterProductParameters
from simsparse.hardware.row_stationary import RowStationaryParameters

__all__ = [
    "DTYPE_BITS",
    "BroadcastCscParameters",
    "CartesianParameters",
    "CpuRowsParameters",
    "DataflowParameters",
    "FlexibleTreeParameters",
    "FormatPortParameters",
    "FormatSupport",
    "GpuTilesParameters",
    "HardwareModel",
    "IndexedSynapseParameters",
    "InnerJoinParameters",
    "MachineKind",
    "MemoryLevel",
    "MeshCscParameters",
    "OuterProductParameters",
    "PlanarDenseParameters",
    "RowStationaryParameters",
    "ScalarCscParameters",
    "Source",
    "SourceStatus",
    "SystolicParameters",
    "TensorCoreParameters",
]
