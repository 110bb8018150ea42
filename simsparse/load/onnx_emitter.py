"""What the export writes to: ONNX operators, and constants that are made when they are written."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.ir import WeightArray
from simsparse.load.graph import Node, Shape
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN, KNOWN_FUNCTIONS

Proto = Any
Array = NDArray[Any]
MakeArray = Callable[[], Array]
Weights = Callable[[str], WeightArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """An initialiser that is made when it is written."""

    name: str
    shape: Shape
    make: MakeArray
    dtype: str = "float32"

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(slots=True, kw_only=True)
class Emitter:
    """Collects operators and constants; ``shapes`` has every tensor of the graph."""

    weights: Weights
    seed: int
    shapes: dict[str, Shape]
    nodes: list[Proto] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)  # beside those of the graph: caches
    functions: set[str] = field(default_factory=set)

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        name: str,
        /,
        *,
        metadata: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> str:
        """Append one operator; returns ``output``."""
        from onnx import helper

        domain = FUNCTION_DOMAIN if kind in KNOWN_FUNCTIONS else ""
        proto = helper.make_node(kind, list(inputs), [output], name=name, domain=domain, **attributes)
        for key, value in (metadata or {}).items():
            proto.metadata_props.add(key=f"simsparse.{key}", value=value)
        if domain:
            self.functions.add(kind)
        self.nodes.append(proto)
        return output

    def constant(self, name: str, values: Any, dtype: str = "float32") -> str:
        """A small constant; returns its name."""
        array = np.asarray(values, dtype)
        self.constants[name] = Constant(name=name, shape=array.shape, make=lambda: array, dtype=dtype)
        return name

    def random(self, name: str, shape: Shape, scale: float) -> str:
        """A seeded constant of normal values, the same for the same name and seed."""

        def make() -> Array:
            key = [self.seed, zlib.crc32(name.encode())]
            return np.random.default_rng(key).standard_normal(shape, dtype=np.float32) * np.float32(scale)

        self.constants[name] = Constant(name=name, shape=shape, make=make)
        return name

    def weight(
        self, node: Node, base: str, m: int, k: int, arrange: Callable[[Array], Array], shape: Shape
    ) -> str:
        """The weights of ``base``, ``(m, k)``, arranged in ``shape`` as ONNX wants them."""

        def make() -> Array:
            values = np.asarray(self.weights(base))
            if values.shape != (m, k):
                raise ShapeError(f"weights of {base}: expected an array of {m} x {k}, got {values.shape}")
            return np.ascontiguousarray(arrange(values), dtype=np.float32).reshape(shape)

        name = f"{node.name}.weight"
        self.constants[name] = Constant(name=name, shape=shape, make=make)
        return name

    def bias(self, node: Node, base: str, size: int) -> list[str]:
        """A small seeded bias, if the node has one."""
        if not node.integer("bias", 0):
            return []
        array = self.random(f"{base}.bias", (size,), 0.01)
        return [array]


Emit = Callable[[Emitter, Node, str], None]
