"""What a workload file may say: the shape of its YAML, before any formula has a value.

::

    name: tiny
    source: Someone et al., Some Paper, 2020
    parameters: {batch: 1, width: 64, half: width // 2}    # later ones may use earlier ones
    limits: {seq: 512}                                     # the largest value of a parameter
    inputs: {image: [batch, 3, 32, 32]}
    blocks:
      residual:
        parameters: {channels, stride: 1}                  # one without a value must be given at each use
        layers:                                            # the tensor the block gets is called `input`
          - {op: conv, name: conv1, out_channels: channels, kernel: 3, padding: 1, then: [batch_norm, relu]}
          - {op: add, name: sum, from: [conv1, input]}
    layers:
      - {op: conv, name: stem, out_channels: width, kernel: 3, padding: 1}
      - {block: residual, name: "stage.{i}", repeat: 3, with: {channels: width}}

A layer reads the one before it unless ``from`` names others; ``then`` appends operations without attributes.
A block puts its name before those of its layers; without a name they stand as if written in its place.
``repeat`` writes a block out several times, counting ``i`` from ``first``; ``count`` says that so many
identical ones follow each other, which are simulated once. Attributes are those of
:class:`simsparse.load.graph.Op`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic takes typing's own only from Python 3.12 on

from simsparse.errors import nearest
from simsparse.load.graph import Op

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SizeValue = int | str
SizesValue = SizeValue | tuple[SizeValue, ...]
_SIZE_SCHEMA = {"type": ["integer", "string"]}
_OPS = tuple(str(op) for op in Op)


def _size(value: Any) -> SizeValue:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("size", 'a whole number or a formula such as "4 * hidden"')
    return value


def _sizes(value: Any) -> SizesValue:
    return tuple(_size(entry) for entry in value) if isinstance(value, list) else _size(value)


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise PydanticCustomError("names", "a name or a list of names")
    return tuple(names)


def _op(value: Any) -> Op:
    if isinstance(value, str) and value in _OPS:
        return Op(value)
    near = ", ".join(nearest(str(value), _OPS))
    known = f"an operation (did you mean {near}?)" if near else f"one of {', '.join(_OPS)}"
    raise PydanticCustomError("op", "{known}", {"known": known})


Size = Annotated[SizeValue, PlainValidator(_size), WithJsonSchema(_SIZE_SCHEMA)]
Sizes = Annotated[
    SizesValue,
    PlainValidator(_sizes),
    WithJsonSchema({"type": ["integer", "string", "array"], "items": _SIZE_SCHEMA}),
]
Names = Annotated[
    tuple[str, ...],
    PlainValidator(_names),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]
OpName = Annotated[Op, PlainValidator(_op), WithJsonSchema({"enum": list(_OPS)})]

LayerSpec = TypedDict(
    "LayerSpec",
    {
        "op": OpName,
        "block": str,
        "name": str,
        "from": Names,
        "then": list[OpName],
        "count": Size,
        "with": dict[str, Size],
        "repeat": Size,
        "first": Size,
        "out_channels": Size,
        "out_features": Size,
        "kernel": Sizes,
        "stride": Sizes,
        "padding": Sizes,
        "output_padding": Sizes,
        "dilation": Sizes,
        "groups": Size,
        "bias": bool,
        "tied": bool,
        "ceil": bool,
        "heads": Size,
        "head_axis": Literal["m", "k"],
        "transpose_a": bool,
        "transpose_b": bool,
        "size": Size,
        "operations": Size,
        "axis": Size,
        "axes": Sizes,
        "keepdims": bool,
        "how": Literal["mean", "sum", "max", "min"],
        "start": Size,
        "stop": Size,
        "step": Size,
        "index": Size,
        "vocab": Size,
        "dim": Size,
        "length": Size,
        "shape": Sizes,
    },
    total=False,
)
"""One entry of a list of layers: an operation (``op``) or the use of a block (``block``)."""
LayerSpec.__pydantic_config__ = ConfigDict(extra="forbid", title="LayerSpec")  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """A named list of layers with parameters of its own; one without a value is given at each use."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    layers: list[LayerSpec]
    parameters: dict[str, Size | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """A whole workload file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    source: str
    inputs: dict[str, list[Size]]
    layers: list[LayerSpec]
    description: str = ""
    parameters: dict[str, Size] = field(default_factory=dict)
    limits: dict[str, Size] = field(default_factory=dict)
    blocks: dict[str, BlockSpec] = field(default_factory=dict)


@cache
def workload_adapter() -> TypeAdapter[WorkloadSpec]:
    """The pydantic adapter that checks a workload file and prints its JSON Schema."""
    from pydantic import TypeAdapter

    return TypeAdapter(WorkloadSpec)


_WINDOW = ("stride", "padding", "dilation")
_CONV = (*_WINDOW, "groups", "bias")
TAKES: dict[Op, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Op.CONV: (("out_channels", "kernel"), _CONV),
    Op.CONV_TRANSPOSE: (("out_channels", "kernel"), (*_CONV, "output_padding")),
    Op.LINEAR: (("out_features",), ("bias", "heads", "head_axis", "tied")),
    Op.MATMUL: ((), ("transpose_a", "transpose_b")),
    Op.LRN: ((), ("size",)),
    Op.SOFTMAX: ((), ("axis",)),
    Op.POINTWISE: ((), ("operations",)),
    Op.REDUCE: (("axes",), ("how", "keepdims")),
    Op.MAX_POOL: (("kernel",), (*_WINDOW, "ceil")),
    Op.AVG_POOL: (("kernel",), (*_WINDOW, "ceil")),
    Op.CONCAT: (("axis",), ()),
    Op.TRANSPOSE: (("axes",), ()),
    Op.SLICE: (("axis",), ("start", "stop", "step")),
    Op.SELECT: (("axis", "index"), ()),
    Op.EMBEDDING: (("vocab", "dim"), ()),
    Op.CACHE_APPEND: (("length",), ()),
    Op.COPY: (("shape",), ()),
    Op.FLATTEN: ((), ("axis",)),
    Op.RESHAPE: (("shape",), ()),
    Op.SPLIT_HEADS: (("heads",), ()),
    Op.LEARNED: (("shape",), ()),
}
"""Required and optional attributes of each operation in a file; an operation not listed takes none."""
