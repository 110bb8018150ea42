"""Functions that a model defines itself, written out into the operators they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN, KNOWN_FUNCTIONS
from simsparse.load.onnx_text import clean, mistake
from simsparse.load.onnx_wire import MAX_NODES

Proto = Any
Key = tuple[str, str]


def inline_functions(model: Proto, path: Path) -> Proto:
    """``model`` with its functions written out, but for our own, which the translation knows.

    Raises
    ------
    FileError
        If functions call each other in a circle, or writing them out gives too many operators.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    kept = [key for key in functions if key[0] == FUNCTION_DOMAIN and key[1] in KNOWN_FUNCTIONS]
    if len(kept) == len(model.functions):
        return model
    import onnx.inliner

    sizes: dict[Key, int] = {}
    try:
        count = sum(_expanded(node, functions, sizes, 0) for node in model.graph.node)
        if count > MAX_NODES:
            expected, got = f"at most {MAX_NODES:,} operators", f"{count:,} with all functions written out"
            raise mistake(path, "functions", expected, got, "simplify the model")
        return onnx.inliner.inline_selected_functions(model, kept, exclude=True)
    except FileError:
        raise
    except Exception as error:  # from C++: any type
        way_out = "export the model without functions"
        raise mistake(path, "functions", "ones that can be written out", clean(str(error)), way_out) from None


def _expanded(node: Proto, functions: Mapping[Key, Proto], sizes: dict[Key, int], depth: int) -> int:
    """Operators that ``node`` becomes."""
    key = (node.domain, node.op_type)
    if key not in functions:
        return 1
    if key not in sizes:
        if depth > len(functions):
            raise RecursionError(f"function {node.op_type} calls itself")
        sizes[key] = sum(_expanded(inner, functions, sizes, depth + 1) for inner in functions[key].node)
    return sizes[key]
