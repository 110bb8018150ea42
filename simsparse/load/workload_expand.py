"""A checked workload file to the graph: formulas get values, blocks are written out, shapes are inferred.

A layer that could not be made leaves an unknown tensor behind, and layers that read an unknown tensor are
passed over in silence: one mistake, one line. The work is bounded, however deep a file nests its repetitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from simsparse.errors import ShapeError, UsageError, nearest
from simsparse.load.formula import evaluate
from simsparse.load.graph import Attribute, Graph, Node, Op, Shape, TensorSpec, make_graph
from simsparse.load.shape_rules import make_node
from simsparse.load.workload_spec import TAKES, BlockSpec, LayerSpec, SizeValue, WorkloadSpec

MAX_STEPS = 50_000
Location = tuple[str | int, ...]
Tensors = dict[str, str | None]
"""The names a layer may read and the tensors they stand for; None where that could not be made."""

_ABOUT_LAYERS = ("op", "name", "from", "then", "count")
_ABOUT_BLOCKS = ("block", "name", "from", "count", "with", "repeat", "first")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/")


class MisfitError(Exception):
    """Mistakes of a file by location."""

    def __init__(self, mistakes: Mapping[Location, str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes.values()))


class _WrongError(Exception):
    """One mistake, noted already; whoever catches it goes on without that layer."""


class _EnoughError(Exception):
    """The bound on work is reached."""


def expand(spec: WorkloadSpec, overrides: Mapping[str, int]) -> Graph:
    """The graph of ``spec`` with ``overrides`` in place of the parameters of the same names.

    Raises
    ------
    MisfitError
        With every mistake that was found.
    """
    reader = _Reader(spec=spec)
    try:
        graph = reader.graph(overrides)
    except (_WrongError, _EnoughError):
        graph = None
    if graph is None or reader.mistakes:
        raise MisfitError(reader.mistakes)
    return graph


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """Where a list of layers stands: the values it sees, the prefix of its names, the blocks around it."""

    numbers: Mapping[str, int]
    prefix: str = ""
    count: int = 1
    inside: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Reader:
    spec: WorkloadSpec
    numbers: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    mistakes: dict[Location, str] = field(default_factory=dict)
    steps: int = 0

    # The file as a whole

    def graph(self, overrides: Mapping[str, int]) -> Graph | None:
        self.read_parameters(overrides)
        tensors = self.read_inputs()
        if self.mistakes:
            return None
        start = next(iter(tensors)) if len(tensors) == 1 else ""
        last = self.chain(self.spec.layers, ("layers",), _Scope(numbers=self.numbers), tensors, start)
        if not self.nodes and not self.mistakes:
            self.note(("layers",), "expected at least one layer, got none")
        if last is None or self.mistakes:
            return None
        return make_graph(
            self.spec.name,
            source=self.spec.source,
            batch=self.numbers.get("batch", 1),
            inputs={
                name: TensorSpec(shape=self.shapes[name], dtype=self.dtype(name)) for name in self.spec.inputs
            },
            nodes=tuple(self.nodes),
            outputs=(last,),
        )

    def read_parameters(self, overrides: Mapping[str, int]) -> None:
        for name, value in self.spec.parameters.items():
            at = ("parameters", name)
            self.numbers[name] = overrides.get(name) or self.number(value, self.numbers, at)
            if self.numbers[name] < 1:
                self.note(at, f"expected a whole number >= 1, got {self.numbers[name]}")
        for name, limit in self.spec.limits.items():
            at = ("limits", name)
            if name not in self.numbers:
                self.note(at, f"expected a parameter, got {name} (known: {', '.join(self.numbers)})")
            elif self.numbers[name] > (most := self.number(limit, self.numbers, at)):
                self.note(at, f"expected {name} <= {most}, got {self.numbers[name]}")

    def read_inputs(self) -> Tensors:
        for name, sizes in self.spec.inputs.items():
            self.check_name(name, ("inputs", name))
            at = ("inputs", name)
            shape = tuple(self.number(size, self.numbers, (*at, axis)) for axis, size in enumerate(sizes))
            if min(shape, default=0) < 1:
                self.note(at, f"expected sizes >= 1, got {list(shape)}")
            self.shapes[name] = shape
        if not self.spec.inputs:
            self.note(
                ("inputs",), "expected at least one input, got none (write image: [batch, 3, 224, 224])"
            )
        return {name: name for name in self.spec.inputs}

    def dtype(self, name: str) -> str:
        readers = [node.op for node in self.nodes if name in node.inputs]
        return "int64" if readers and all(op is Op.EMBEDDING for op in readers) else "float32"

    # Lists of layers

    def chain(
        self, layers: list[LayerSpec], loc: Location, scope: _Scope, tensors: Tensors, previous: str | None
    ) -> str | None:
        for index, layer in enumerate(layers):
            at = (*loc, index)
            try:
                self.check_keys(layer, at)
                sources = self.sources(layer, at, tensors, previous)
                make = self.use_block if "block" in layer else self.operate
                previous = make(layer, at, scope, tensors, sources)
            except _WrongError:
                previous = None
                if "name" in layer:
                    tensors[layer["name"]] = None
        return previous

    def check_keys(self, layer: LayerSpec, at: Location) -> None:
        if ("op" in layer) == ("block" in layer):
            got = "both" if "op" in layer else "neither"
            self.fail(at, f"expected an op or a block, got {got} (write op: conv)")
        if "block" in layer:
            self.refuse(layer, at, f"block {layer['block']}", (), _ABOUT_BLOCKS)
            return
        required, optional = TAKES.get(layer["op"], ((), ()))
        for key in required:
            if key not in layer:
                self.fail(at, f"expected {key} on {layer['op']}, got none (add {key}: …)")
        self.refuse(layer, at, layer["op"], (*required, *optional), _ABOUT_LAYERS)

    def refuse(
        self, layer: LayerSpec, at: Location, what: str, takes: tuple[str, ...], about: tuple[str, ...]
    ) -> None:
        """Notes the keys that this kind of layer does not take."""
        extra = [key for key in layer if key not in takes and key not in about]
        for key in extra:
            way_out = f"it takes {', '.join(takes)}" if takes else f"it takes {', '.join(about[1:])} only"
            self.note((*at, key), f"expected no {key} on {what}, got one ({way_out})")
        if extra:
            raise _WrongError

    def sources(
        self, layer: LayerSpec, at: Location, tensors: Tensors, previous: str | None
    ) -> list[str | None]:
        if "from" not in layer:
            if layer.get("op") is Op.LEARNED:
                return []
            if previous == "":
                self.fail(at, f"expected from, got none (the workload has inputs {', '.join(tensors)})")
            return [previous]
        for name in layer["from"]:
            if name not in tensors:
                near = nearest(name, tensors)
                way_out = f"did you mean {', '.join(near)}?" if near else f"known here: {', '.join(tensors)}"
                self.fail((*at, "from"), f'expected a layer before this one, got "{name}" ({way_out})')
        return [tensors[name] for name in layer["from"]]

    # One operation

    def operate(
        self, layer: LayerSpec, at: Location, scope: _Scope, tensors: Tensors, sources: list[str | None]
    ) -> str | None:
        op = layer["op"]
        local = self.operation_name(layer, at, scope)
        count = scope.count * self.positive(layer.get("count", 1), scope.numbers, (*at, "count"))
        attributes = dict(self.attributes(layer, at, scope))
        known = [source for source in sources if source is not None]
        last = None
        if len(known) == len(sources):
            last = self.add(scope.prefix + local, op, tuple(known), attributes, count, at)
            for index, follower in enumerate(layer.get("then", [])):
                spot = (*at, "then", index)
                if TAKES.get(follower, ((), ()))[0]:
                    self.fail(
                        spot,
                        f"expected an operation without attributes, got {follower} (give it its own line)",
                    )
                last = self.add(f"{scope.prefix}{local}.{follower}", follower, (last,), {}, count, spot)
            if count > scope.count and self.shapes[last] != self.shapes[known[0]]:
                self.fail(
                    (*at, "count"),
                    "expected a layer that keeps its shape, got one that changes it (use repeat)",
                )
        tensors[local] = last
        return last

    def operation_name(self, layer: LayerSpec, at: Location, scope: _Scope) -> str:
        if "name" in layer:
            self.check_name(layer["name"], (*at, "name"))
            if scope.prefix + layer["name"] in self.shapes:
                self.fail(
                    (*at, "name"), f'expected a name used once, got "{scope.prefix}{layer["name"]}" again'
                )
            return layer["name"]
        local, number = str(layer["op"]), 1
        while scope.prefix + local in self.shapes:
            number += 1
            local = f"{layer['op']}_{number}"
        return local

    def attributes(self, layer: LayerSpec, at: Location, scope: _Scope) -> Iterator[tuple[str, Attribute]]:
        value: Any
        for key, value in layer.items():
            if key in _ABOUT_LAYERS:
                continue
            where = (*at, key)
            if isinstance(value, bool):
                yield key, int(value)
            elif isinstance(value, tuple):
                yield key, tuple(self.number(entry, scope.numbers, where) for entry in value)
            else:
                yield key, value if key in ("how", "head_axis") else self.number(value, scope.numbers, where)

    def add(
        self,
        name: str,
        op: Op,
        inputs: tuple[str, ...],
        attributes: dict[str, Attribute],
        count: int,
        at: Location,
    ) -> str:
        self.spend(at)
        try:
            node = make_node(name, op, inputs, self.shapes, attributes, count=count)
        except ShapeError as error:
            self.fail(at, f"{name}: {error}")
        self.nodes.append(node)
        self.shapes[name] = node.shape
        return name

    # Blocks

    def use_block(
        self, layer: LayerSpec, at: Location, scope: _Scope, tensors: Tensors, sources: list[str | None]
    ) -> str | None:
        block = self.block(layer, at, scope)
        if len(sources) != 1:
            self.fail((*at, "from"), f"expected one tensor for a block, got {len(sources)}")
        template, previous = layer.get("name", ""), sources[0]
        count = self.positive(layer.get("count", 1), scope.numbers, (*at, "count"))
        repeat = self.positive(layer.get("repeat", 1), scope.numbers, (*at, "repeat"))
        first = self.number(layer.get("first", 0), scope.numbers, (*at, "first"))
        if repeat > 1 and "{i}" not in template:
            self.fail((*at, "name"), f'expected a name with {{i}}, got "{template}" (write stage.{{i}})')
        for i in range(first, first + repeat):
            self.spend(at)
            name = template.replace("{i}", str(i))
            self.check_name(name or "block", (*at, "name"))
            numbers = {**scope.numbers, "i": i} if "repeat" in layer else scope.numbers
            inner = _Scope(
                numbers=self.block_numbers(layer, block, at, numbers),
                prefix=f"{scope.prefix}{name}." if name else scope.prefix,
                count=scope.count * count,
                inside=(*scope.inside, layer["block"]),
            )
            local: Tensors = {"input": previous}
            layers = ("blocks", layer["block"], "layers")
            before, previous = previous, self.chain(block.layers, layers, inner, local, previous)
            if count > 1 and before and previous and self.shapes[before] != self.shapes[previous]:
                self.fail(
                    (*at, "count"),
                    "expected a block that keeps its shape, got one that changes it (use repeat)",
                )
            tensors |= {name: previous} if name else {key: local[key] for key in local if key != "input"}
        return previous

    def block(self, layer: LayerSpec, at: Location, scope: _Scope) -> BlockSpec:
        name, blocks = layer["block"], self.spec.blocks
        if name not in blocks:
            near = nearest(name, blocks)
            way_out = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(blocks) or 'none'}"
            self.fail((*at, "block"), f'expected a block of this file, got "{name}" ({way_out})')
        if name in scope.inside:
            self.fail((*at, "block"), f"expected a block that does not contain itself, got {name}")
        return blocks[name]

    def block_numbers(
        self, layer: LayerSpec, block: BlockSpec, at: Location, numbers: Mapping[str, int]
    ) -> dict[str, int]:
        """The values a block sees: those of the file, its own parameters, and ``i`` where it is repeated."""
        given = layer.get("with", {})
        for key in given:
            if key not in block.parameters:
                known = ", ".join(block.parameters) or "it takes none"
                self.fail(
                    (*at, "with", key), f"expected a parameter of block {layer['block']}, got {key} ({known})"
                )
        seen = self.numbers | ({"i": numbers["i"]} if "i" in numbers else {})
        for key, default in block.parameters.items():
            if key in given:
                seen[key] = self.number(given[key], numbers, (*at, "with", key))
            elif default is None:
                self.fail(
                    at,
                    f"expected a value for {key} of block {layer['block']}, got none (add it to with)",
                )
            else:
                seen[key] = self.number(default, seen, ("blocks", layer["block"], "parameters", key))
        return seen

    # Values and mistakes

    def number(self, value: SizeValue, numbers: Mapping[str, int], at: Location) -> int:
        try:
            return evaluate(value, numbers)
        except UsageError as error:
            self.fail(at, str(error))

    def positive(self, value: SizeValue, numbers: Mapping[str, int], at: Location) -> int:
        result = self.number(value, numbers, at)
        if not 1 <= result <= MAX_STEPS:
            self.fail(at, f"expected a whole number from 1 to {MAX_STEPS}, got {result}")
        return result

    def check_name(self, name: str, at: Location) -> None:
        if not name or not _NAME_CHARACTERS.issuperset(name):
            self.fail(at, f'expected a name of letters, digits, "_", ".", "-" and "/", got "{name}"')

    def spend(self, at: Location) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            self.note(at, f"expected at most {MAX_STEPS} layers, got more (use count for identical ones)")
            raise _EnoughError

    def note(self, at: Location, text: str) -> None:
        self.mistakes.setdefault(at, text)

    def fail(self, at: Location, text: str) -> NoReturn:
        self.note(at, text)
        raise _WrongError
