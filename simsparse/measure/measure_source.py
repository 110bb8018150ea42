"""What is measured: an ONNX file, the user's or one written for a workload, and the layers to prune in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from simsparse.errors import UsageError
from simsparse.ir import Layer, Workload
from simsparse.load.catalog import load_model, split_checkpoint, workload_file
from simsparse.load.files.checkpoint_weights import with_checkpoint
from simsparse.load.graph import Attribute, Graph, Node, Op, TensorSpec, make_graph
from simsparse.load.inline import is_inline
from simsparse.load.lower import lower
from simsparse.load.onnx_export import export_onnx
from simsparse.load.onnx_import import load_onnx
from simsparse.load.onnx_repeat import write_out
from simsparse.load.workload_yaml import load_workload_yaml
from simsparse.measure.ops_product import Mask
from simsparse.pruning.pruned import Pruned, layer_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to run; ``layers`` says which layer of the workload an operator is, where names differ."""

    path: Path
    workload: Workload
    batch: int | None
    seq: int | None
    layers: Mapping[str, str] = field(default_factory=dict)

    def layer_of(self, name: str) -> str:
        """The workload's name for an operator."""
        return self.layers.get(name, name)


@contextmanager
def open_source(
    model: str | Path, *, batch: int | None = None, seq: int | None = None, seed: int = 0
) -> Iterator[Source]:
    """The file of ``model``, written into a temporary folder for a bundled name, a YAML or an inline layer.

    Raises
    ------
    UsageError
        If the model cannot be loaded, or is no file that can be run.
    """
    text = str(model)
    shape, checkpoint = split_checkpoint(text)
    if shape.lower().endswith(".onnx"):
        yield Source(path=Path(text), workload=load_onnx(text, batch=batch, seq=seq), batch=batch, seq=seq)
        return
    if not is_inline(shape) and Path(shape).suffix.lower() not in ("", ".yaml", ".yml"):
        raise UsageError(
            f"measure: expected a bundled name, .yaml, .onnx or an inline layer, got {text} "
            "(export the model to ONNX)"
        )
    graph = _graph(shape, batch, seq)
    workload = lower(graph) if checkpoint is None else with_checkpoint(lower(graph), checkpoint)
    layers = {layer.name: layer for layer in workload.layers}
    with tempfile.TemporaryDirectory(prefix="simsparse-") as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(graph, lambda name: layer_weights(workload, layers[name], seed), path, seed=seed)
        named = {part.node.name: part.base for part in write_out(graph)[0]}
        yield Source(path=path, workload=workload, batch=None, seq=None, layers=MappingProxyType(named))


def _graph(text: str, batch: int | None, seq: int | None) -> Graph:
    if not is_inline(text):
        return load_workload_yaml(workload_file(text), batch=batch, seq=seq)
    workload = load_model(text, batch=batch, seq=seq)
    layer = workload.layers[0]
    shape, node = _inline_node(layer)
    return make_graph(
        workload.name,
        source=workload.source,
        inputs={"x": TensorSpec(shape=shape)},
        nodes=(node,),
        outputs=(node.output,),
        batch=workload.batch,
    )


def _inline_node(layer: Layer) -> tuple[tuple[int, ...], Node]:
    conv = layer.conv
    if conv is None:
        attributes: dict[str, Attribute] = {"out_features": layer.m}
        shape: tuple[int, ...] = (layer.n, layer.k)
        out: tuple[int, ...] = (layer.n, layer.m)
        op = Op.LINEAR
    else:
        attributes = {
            "out_channels": layer.m,
            "kernel": (conv.kernel_height, conv.kernel_width),
            "stride": conv.stride,
            "padding": conv.padding,
            "groups": layer.groups,
        }
        shape = (conv.batch, conv.in_channels, conv.in_height, conv.in_width)
        op, out = Op.CONV, (conv.batch, layer.m, conv.out_height, conv.out_width)
    return shape, Node(
        name=layer.name, op=op, inputs=("x",), output="y", attributes=MappingProxyType(attributes), shape=out
    )


@dataclass(slots=True)
class LayerMasks:
    """Masks by operator; identical operators share one, which is made once."""

    pruned: Pruned
    source: Source
    _made: dict[str, Mask | None] = field(default_factory=dict)
    _layers: dict[str, Layer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._layers = {layer.name: layer for layer in self.pruned.workload.layers}

    def __call__(self, name: str) -> Mask | None:
        """The mask (m, k) of an operator's layer, None where it is dense."""
        base = self.source.layer_of(name)
        layer = self._layers.get(base)
        if layer is None:
            return None
        if base not in self._made:
            mask = self.pruned.mask(layer)
            if layer.count == 1:
                return mask
            self._made[base] = mask
        return self._made[base]
