"""What pruning a matrix needs to know about its layer."""

from __future__ import annotations

from typing import Any

from simsparse.ir import Layer


def matrix_options(layer: Layer) -> dict[str, Any]:
    """What `prune_matrix` and `tile_of` need to know about a layer besides its shape."""
    positions = layer.conv.kernel_height * layer.conv.kernel_width if layer.conv else 1
    return {
        "heads": layer.heads,
        "head_axis": layer.head_axis,
        "kernel_positions": positions,
        "groups": layer.groups,
        "name": f"layer {layer.name}",
    }
