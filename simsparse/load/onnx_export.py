"""A workload's graph as an ONNX file that any runtime can run: ``export_onnx(graph, weights, path)``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simsparse.errors import FileError, UsageError
from simsparse.load.graph import Graph
from simsparse.load.onnx_emit import emit
from simsparse.load.onnx_emitter import Constant, Emitter, Weights
from simsparse.load.onnx_functions import function_protos
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN
from simsparse.load.onnx_repeat import write_out

Proto = Any

OPSET = 21
IR_VERSION = 10
INLINE_BYTES = 1_500_000_000  # above this, weights go to a file of their own: protobuf ends at 2 GiB
MAX_BYTES = 8 * 2**30
_ALIGNMENT = 4096  # of tensors in the data file, so that runtimes can map them
_SMALL = 4096  # tensors below this stay inside the model: shape inference reads them


def export_onnx(
    graph: Graph, weights: Weights, path: str | Path, *, seed: int = 0, max_bytes: int | None = MAX_BYTES
) -> None:
    """Write ``graph`` with ``weights`` to ``path``, for runtimes to run and :func:`load_onnx` to read back.

    Nodes with a count are written out, named ``name.0``, ``name.1`` …, each with its own copy of the weights.
    Biases, embeddings and other learned tensors are small seeded values; norms have scale 1 and shift 0.
    Weights above 1.5 GB in all lie in ``path`` + ``.data``. The files appear complete or not at all.

    Parameters
    ----------
    graph : Graph
        The operators.
    weights : callable
        Layer name in ``graph`` → ``(m, k)`` array; called once per instance of the layer.
    path : str or Path
        The ``.onnx`` file.
    seed : int
        For the values that ``weights`` does not give.
    max_bytes : int, optional
        The largest file to write; ``None`` for no limit.

    Raises
    ------
    UsageError
        If the file would be larger than ``max_bytes``.
    ShapeError
        If an array is not ``(m, k)``.
    FileError
        If the file cannot be written.
    """
    path = Path(path)
    emitter, model = _skeleton(graph, weights, seed)
    total = sum(constant.size_bytes for constant in emitter.constants.values())
    if max_bytes is not None and total > max_bytes:
        raise UsageError(
            f"{graph.name}: expected at most {max_bytes:,} bytes to export, got {total:,} "
            "(raise max_bytes, or export fewer layers)"
        )
    external = total > INLINE_BYTES
    try:
        _check_target(path)
        with _temporary(path) as model_file, _temporary(Path(f"{path}.data")) as data_file:
            location = f"{path.name}.data" if external else ""
            for constant in emitter.constants.values():
                _write_constant(model.graph.initializer.add(), constant, data_file, location)
            model_file.write(model.SerializeToString())
            data_file.close()
            model_file.close()
            if external:
                os.replace(data_file.name, f"{path}.data")
            os.replace(model_file.name, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(
            [f"{path}: expected a file that can be written, got: {reason} (choose another path)"]
        ) from None


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise FileError(
            [f"{path}: expected a file to write, got a folder (add a file name: {path / 'model.onnx'})"]
        )
    if not path.parent.is_dir():
        raise FileError([f"{path}: expected an existing folder to write to, got {path.parent} (create it)"])


@contextmanager
def _temporary(path: Path) -> Iterator[Any]:
    """A file beside ``path`` that is gone afterwards, unless it has been renamed."""
    part = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    with part.open("xb") as file:
        try:
            yield file
        finally:
            file.close()
            part.unlink(missing_ok=True)


def _skeleton(graph: Graph, weights: Weights, seed: int) -> tuple[Emitter, Proto]:
    """The model without its constants."""
    from onnx import TensorProto, helper

    instances, outputs = write_out(graph)
    emitter = Emitter(
        weights=weights, seed=seed, shapes={name: spec.shape for name, spec in graph.inputs.items()}
    )
    for instance in instances:
        emit(emitter, instance.node, instance.base)
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    inputs = [
        helper.make_tensor_value_info(name, types[s.dtype], s.shape) for name, s in graph.inputs.items()
    ]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in emitter.inputs.items()]
    made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, emitter.shapes[n]) for n in outputs]
    inner = [
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, emitter.shapes[node.output[0]])
        for node in emitter.nodes
        if node.domain and node.output[0] not in outputs
    ]
    body = helper.make_graph(emitter.nodes, graph.name, inputs, made, value_info=inner)
    versions = [helper.make_opsetid("", OPSET)]
    if emitter.functions:
        versions.append(helper.make_opsetid(FUNCTION_DOMAIN, 1))
    functions = function_protos(emitter.functions, OPSET)
    model = helper.make_model(
        body,
        opset_imports=versions,
        functions=functions,
        producer_name="simsparse",
        ir_version=IR_VERSION,
        doc_string=f"{graph.name}. Source of the architecture: {graph.source}",
    )
    return emitter, model


def _write_constant(proto: Proto, constant: Constant, data_file: Any, location: str) -> None:
    """Fill ``proto``; large values go to ``data_file`` if there is a ``location``."""
    from onnx import TensorProto, helper

    values = constant.make()
    proto.name = constant.name
    proto.dims.extend(constant.shape)
    proto.data_type = helper.np_dtype_to_tensor_dtype(np.dtype(constant.dtype))
    raw = values.astype(np.dtype(constant.dtype).newbyteorder("<"), copy=False).tobytes()
    if not location or len(raw) < _SMALL:
        proto.raw_data = raw
        return
    data_file.seek(-(-data_file.tell() // _ALIGNMENT) * _ALIGNMENT)
    entries = {"location": location, "offset": str(data_file.tell()), "length": str(len(raw))}
    data_file.write(raw)
    proto.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        proto.external_data.add(key=key, value=value)
