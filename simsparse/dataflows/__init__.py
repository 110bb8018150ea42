"""Dataflow families: how a layer becomes tiles on a machine. One file per family, found by the machine's
YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from simsparse.dataflows.task import LayerPlan, LayerTask

FAMILIES: Mapping[str, str] = {
    "systolic": "simsparse.dataflows.systolic",
    "tensor-core": "simsparse.dataflows.tensor_core",
    "broadcast-csc": "simsparse.dataflows.broadcast_csc",
    "scalar-csc": "simsparse.dataflows.scalar_csc",
    "cartesian": "simsparse.dataflows.cartesian",
    "planar-dense": "simsparse.dataflows.cartesian_dense",
    "row-stationary": "simsparse.dataflows.row_stationary",
    "gpu-tiles": "simsparse.dataflows.gpu_tiles",
    "cpu-rows": "simsparse.dataflows.cpu_rows",
    "flexible-tree": "simsparse.dataflows.flexible_tree",
    "outer-product": "simsparse.dataflows.outer_product",
    "format-port": "simsparse.dataflows.format_port",
    "inner-join": "simsparse.dataflows.inner_join",
    "indexed-synapse": "simsparse.dataflows.indexed_synapse",
    "mesh-csc": "simsparse.dataflows.mesh_csc",
}
"""Family name → module with ``plan_layer(task) -> LayerPlan``."""


def plan_layer(task: LayerTask) -> LayerPlan:
    """Plan a product layer with the dataflow of the task's machine.

    Raises
    ------
    UnsupportedError
        If the machine cannot run the layer; the message says why.
    """
    planner: Callable[[LayerTask], LayerPlan] = import_module(
        FAMILIES[task.hardware.dataflow.family]
    ).plan_layer
    return planner(task)
