"""An ONNX file opened safely: its operators in an order that can run, and where each of its tensors lies."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.onnx_constants import Stored, find_constants, list_constants
from simsparse.load.onnx_inline import inline_functions
from simsparse.load.onnx_names import check_names
from simsparse.load.onnx_order import sort_nodes
from simsparse.load.onnx_text import clean, mistake
from simsparse.load.onnx_wire import Skeleton, read_skeleton

Proto = Any

_CONSTANTS_ARE_NO_INPUTS = 4  # from this version of the file format on


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """``model`` is a ModelProto without its large tensors; ``tensors`` holds all constants by name."""

    path: Path
    model: Proto
    tensors: Mapping[str, Stored]

    @property
    def inputs(self) -> list[Proto]:
        """What the model is given when it runs."""
        return list(self.model.graph.input)

    @property
    def outputs(self) -> list[str]:
        """Names of what the model returns."""
        return [value.name for value in self.model.graph.output]


def open_onnx(path: str | Path) -> OnnxFile:
    """Open ``path``; weights stay on disk, so memory is that of the operators.

    Raises
    ------
    FileError
        If the file cannot be read, is no ONNX model, or contradicts itself; up to ten mistakes at once.
    """
    path = Path(path)
    skeleton = _skeleton(path)
    model = _parse(skeleton, path)
    model.ir_version = max(model.ir_version, _CONSTANTS_ARE_NO_INPUTS)
    check_names(model, path)
    _check_opset(model, path)
    large = {model.graph.node[index].output[0]: span for index, span in skeleton.constants.items()}
    model = inline_functions(model, path)
    tensors = find_constants(model.graph, skeleton, large, path)
    list_constants(model.graph, tensors)
    sort_nodes(model.graph, tensors, path)
    return OnnxFile(path=path, model=model, tensors=tensors)


def _skeleton(path: Path) -> Skeleton:
    try:
        if not path.is_file():
            got = "a folder" if path.is_dir() else "none"
            raise FileError([f"{path}: expected an ONNX file, got {got} (check the path)"])
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise FileError([f"{path}: expected an ONNX model, got an empty file (export it again)"])
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as buffer:
                return read_skeleton(buffer, str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(
            [f"{clean(str(path))}: expected a file that can be read, got: {reason} (check the path)"]
        ) from None


def _parse(skeleton: Skeleton, path: Path) -> Proto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(skeleton.message)
    except (DecodeError, ValueError):
        raise FileError(
            [f"{path}: expected an ONNX model, got other data (export the model to ONNX)"]
        ) from None
    if not model.graph.node:
        raise FileError([f"{path}: expected an ONNX model with operators, got none (is this an ONNX file?)"])
    return model


def _check_opset(model: Proto, path: Path) -> None:
    """One version per domain, and of the standard operators one that the library knows."""
    import onnx

    entries = [(clean(entry.domain) or "ai.onnx", entry.version) for entry in model.opset_import]
    names = [domain for domain, _ in entries]
    if not entries or len(set(names)) < len(names) or any(version < 1 for _, version in entries):
        got = ", ".join(f"{domain} {version}" for domain, version in entries[:5]) or "none"
        raise mistake(path, "opset_import", "one version per domain", got, "export the model again")
    newest = onnx.defs.onnx_opset_version()
    for domain, version in entries:
        if domain == "ai.onnx" and version > newest:
            way_out = "update onnx, or export with an older opset"
            raise mistake(path, "opset_import", f"opset {newest} at most", str(version), way_out)
