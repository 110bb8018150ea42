"""Functions in exported files for what has no ONNX operator: any runtime runs them, the import knows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from simsparse.load.onnx_fuse import FUNCTION_DOMAIN

Proto = Any


def function_protos(names: Collection[str], opset: int) -> list[Proto]:
    """Definitions of the functions ``names``, sorted."""
    return [_make(name, opset) for name in sorted(names)]


def _make(name: str, opset: int) -> Proto:
    from onnx import helper

    inputs, nodes = _BODIES[name]()
    versions = [helper.make_opsetid("", opset)]
    return helper.make_function(FUNCTION_DOMAIN, name, inputs, ["y"], nodes, versions)


def _rotary() -> tuple[list[str], list[Proto]]:
    """x · cos + (−second half, first half) · sin."""
    from onnx import helper

    nodes = [
        helper.make_node("Split", ["x"], ["first", "second"], axis=-1, num_outputs=2),
        helper.make_node("Neg", ["second"], ["minus"]),
        helper.make_node("Concat", ["minus", "first"], ["turned"], axis=-1),
        helper.make_node("Mul", ["x", "cosines"], ["a"]),
        helper.make_node("Mul", ["turned", "sines"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    return ["x", "cosines", "sines"], nodes


def _cache_append() -> tuple[list[str], list[Proto]]:
    from onnx import helper

    return ["cache", "x"], [helper.make_node("Concat", ["cache", "x"], ["y"], axis=-2)]


def _cache_start() -> tuple[list[str], list[Proto]]:
    from onnx import helper

    return ["x"], [helper.make_node("Identity", ["x"], ["y"])]


def _copy() -> tuple[list[str], list[Proto]]:
    from onnx import helper

    nodes = [
        helper.make_node("Constant", [], ["all"], value_ints=[-1]),
        helper.make_node("Reshape", ["x", "all"], ["flat"]),
        helper.make_node("Gather", ["flat", "indices"], ["taken"], axis=0),
        helper.make_node("Reshape", ["taken", "shape"], ["y"]),
    ]
    return ["x", "indices", "shape"], nodes


_BODIES: Mapping[str, Callable[[], tuple[list[str], list[Proto]]]] = MappingProxyType(
    {"Rotary": _rotary, "CacheAppend": _cache_append, "CacheStart": _cache_start, "Copy": _copy}
)
