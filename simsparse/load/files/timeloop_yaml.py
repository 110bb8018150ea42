"""A Timeloop problem (v4, and v3 spelled with hyphens): three data spaces over named dimensions.

The kind of a dimension is where it appears: in weights and outputs it belongs to m, in weights and inputs to
k, in inputs and outputs to n, in all three it counts groups. A convolution is a problem whose inputs are
projected by sums such as ``stride·P + dilation·R``.

Source: https://timeloop.csail.mit.edu/v4/input-formats/problem.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simsparse.errors import ShapeError
from simsparse.ir import ConvShape, Layer, LayerKind, Workload, conv_layer
from simsparse.load.document import Document, Mistake, read_document
from simsparse.load.onnx_text import clean
from simsparse.load.quoting import printable, shown
from simsparse.load.yaml_tree import Location

MAX_SIZE = 10**9
MAX_DIMENSIONS = 26
MAX_MACS = 10**18
_WEIGHT_WORDS = ("weight", "filter", "kernel")
_AXES = 2
Term = tuple[str, int]
Ranks = tuple[tuple[Term, ...], ...]


class _WrongError(Exception):
    """A mistake and its place."""

    def __init__(self, location: Location, text: str) -> None:
        self.mistake: Mistake = (location, printable(text))
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """A data space: for each of its axes the dimensions that are added up, each with its factor."""

    name: str
    ranks: Ranks
    is_output: bool

    @property
    def dimensions(self) -> frozenset[str]:
        return frozenset(name for rank in self.ranks for name, _ in rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    name: str
    sizes: Mapping[str, int]
    weights: _Space
    inputs: _Space
    output: _Space

    def of_kind(self, kind: str) -> list[str]:
        """Dimensions that belong to ``m``, ``k``, ``n`` or the groups, ``g``."""
        spaces = {"w": self.weights, "x": self.inputs, "y": self.output}
        where = {"m": "wy", "k": "wx", "n": "xy", "g": "wxy"}[kind]
        return [
            name
            for name in self.sizes
            if "".join(letter for letter, space in spaces.items() if name in space.dimensions) == where
        ]

    def product(self, names: list[str]) -> int:
        return math.prod(self.sizes[name] for name in names)


def load_timeloop(path: str | Path) -> Workload:
    """The one layer of a Timeloop problem file, with weights to be drawn.

    Raises
    ------
    FileError
        If the file is no problem of two operands, or its sizes do not fit.
    """
    document = read_document(path)
    try:
        problem, notes = _problem(document.data)
        layer = _layer(problem)
    except _WrongError as wrong:
        raise document.error([wrong.mistake]) from None
    except ShapeError as error:
        raise document.error([(("problem", "instance"), str(error))]) from None
    return Workload(
        name=layer.name, layers=(layer,), source=f"Timeloop problem {clean(Path(path).name)}", notes=notes
    )


def is_timeloop(document: Document) -> bool:
    """Whether a YAML is a Timeloop problem rather than a file of ours."""
    data = document.data
    return isinstance(data, dict) and isinstance(data.get("problem"), dict) and "layers" not in data


def _problem(data: Any) -> tuple[_Problem, tuple[str, ...]]:
    body = _mapping(data, "problem", ())
    shape = _mapping(body, "shape", ("problem",))
    instance = body.get("instance", body)
    if not isinstance(instance, dict):
        raise _WrongError(("problem", "instance"), f"expected sizes by dimension, got {shown(instance)}")
    at: Location = ("problem", "shape")
    names = shape.get("dimensions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _WrongError((*at, "dimensions"), f"expected a list of names, got {shown(names)}")
    if not 1 <= len(set(names)) == len(names) <= MAX_DIMENSIONS:
        raise _WrongError((*at, "dimensions"), f"expected 1 to {MAX_DIMENSIONS} different names, got others")
    sizes = {name: _size(instance.get(name), ("problem", "instance", name)) for name in names}
    if math.prod(sizes.values()) > MAX_MACS:
        raise _WrongError(("problem", "instance"), f"expected at most {MAX_MACS:,} multiply-adds, got more")
    factors = _coefficients(shape.get("coefficients"), instance)
    spaces = list(_spaces(shape, sizes, factors))
    outputs = [space for space in spaces if space.is_output]
    operands = [space for space in spaces if not space.is_output]
    if len(outputs) != 1 or len(operands) != 2:
        expected = "two operands and one output (read_write: true)"
        raise _WrongError(
            (*at, "data_spaces"), f"expected {expected}, got {len(operands)} and {len(outputs)}"
        )
    operands.sort(key=lambda space: not any(word in space.name.lower() for word in _WEIGHT_WORDS))
    name = shape.get("name") if isinstance(shape.get("name"), str) else "problem"
    problem = _Problem(
        name=clean(name or "problem"), sizes=sizes, weights=operands[0], inputs=operands[1], output=outputs[0]
    )
    return problem, tuple(_notes(problem, instance.get("densities")))


def _notes(problem: _Problem, densities: Any) -> Iterator[str]:
    if not any(word in problem.weights.name.lower() for word in _WEIGHT_WORDS):
        yield f"data space {clean(problem.weights.name)} is taken as the weights, as the first operand"
    if densities:
        yield "densities in the problem are not used (--weight-density and --activation-density set them)"


def _layer(problem: _Problem) -> Layer:
    placed = {name for kind in "mkng" for name in problem.of_kind(kind)}
    for name in problem.sizes:
        if name not in placed:
            text = "expected each dimension in two or three data spaces, got one in fewer"
            raise _WrongError(("problem", "shape", "dimensions"), f"{name}: {text}")
    sums = [rank for rank in problem.inputs.ranks if len(rank) > 1]
    if sums:
        return _conv(problem, sums)
    m, k, n, groups = (problem.product(problem.of_kind(kind)) for kind in "mkng")
    return Layer(
        name=problem.name,
        kind=LayerKind.LINEAR,
        m=m * groups,
        k=k,
        n=n,
        groups=groups,
        input_elements=k * n * groups,
        output_elements=m * n * groups,
    )


def _conv(problem: _Problem, sums: list[tuple[Term, ...]]) -> Layer:
    at: Location = ("problem", "shape", "data_spaces")
    inner, outer = problem.of_kind("k"), problem.of_kind("n")
    axes: list[tuple[Term, Term]] = []  # kernel position with dilation, output position with stride
    for rank in sums:
        kernel = [term for term in rank if term[0] in inner]
        position = [term for term in rank if term[0] in outer]
        if len(rank) != 2 or len(kernel) != 1 or len(position) != 1:
            text = "expected sums of one output and one kernel position"
            raise _WrongError(
                at, f"{problem.inputs.name}: {text}, got {' + '.join(name for name, _ in rank)}"
            )
        axes.append((kernel[0], position[0]))
    if len(axes) > _AXES:
        raise _WrongError(at, f"expected a convolution over one or two axes, got {len(axes)}")
    taken = {name for axis in axes for name, _ in axis}
    groups, filters = (problem.product(problem.of_kind(kind)) for kind in "gm")
    sizes = problem.sizes
    padded: list[tuple[Term, Term] | None] = [*[None] * (_AXES - len(axes)), *axes]
    kernel_sizes, outputs, strides, dilations = zip(
        *(
            (sizes[axis[0][0]], sizes[axis[1][0]], axis[1][1], axis[0][1]) if axis else (1, 1, 1, 1)
            for axis in padded
        ),
        strict=True,
    )
    inputs = [(outputs[i] - 1) * strides[i] + (kernel_sizes[i] - 1) * dilations[i] + 1 for i in range(_AXES)]
    shape = ConvShape(
        batch=problem.product([name for name in outer if name not in taken]),
        in_channels=problem.product([name for name in inner if name not in taken]) * groups,
        in_height=inputs[0],
        in_width=inputs[1],
        kernel_height=kernel_sizes[0],
        kernel_width=kernel_sizes[1],
        out_height=outputs[0],
        out_width=outputs[1],
        stride=(strides[0], strides[1]),
        dilation=(dilations[0], dilations[1]),
    )
    return conv_layer(problem.name, shape, filters * groups, groups=groups)


def _spaces(
    shape: Mapping[str, Any], sizes: Mapping[str, int], factors: Mapping[str, int]
) -> Iterator[_Space]:
    key = "data-spaces" if "data-spaces" in shape else "data_spaces"
    at: Location = ("problem", "shape", key)
    spaces = shape.get(key)
    if not isinstance(spaces, list):
        raise _WrongError(at, f"expected a list of data spaces, got {shown(spaces)}")
    for index, space in enumerate(spaces):
        if not isinstance(space, dict) or not isinstance(space.get("projection"), list):
            raise _WrongError((*at, index), f"expected a name and a projection, got {shown(space)}")
        ranks = tuple(
            _rank(rank, sizes, factors, (*at, index, "projection", i))
            for i, rank in enumerate(space["projection"])
        )
        output = space.get("read_write", space.get("read-write", False))
        yield _Space(name=str(space.get("name", index)), ranks=ranks, is_output=output is True)


def _rank(rank: Any, sizes: Mapping[str, int], factors: Mapping[str, int], at: Location) -> tuple[Term, ...]:
    if not isinstance(rank, list) or not rank:
        raise _WrongError(at, f"expected a list of terms such as [[P, stride], [R]], got {shown(rank)}")
    terms = []
    for term in rank:
        words = [term] if isinstance(term, str) else term
        if (
            not isinstance(words, list)
            or not 1 <= len(words) <= 2
            or not all(isinstance(w, str) for w in words)
        ):
            raise _WrongError(at, f"expected a dimension and perhaps a coefficient, got {shown(term)}")
        if words[0] not in sizes:
            raise _WrongError(at, f"expected a dimension ({', '.join(sizes)}), got {shown(words[0])}")
        if len(words) == 2 and words[1] not in factors:
            known = ", ".join(factors) or "none"
            raise _WrongError(at, f"expected a coefficient (known: {known}), got {shown(words[1])}")
        terms.append((words[0], factors[words[1]] if len(words) == 2 else 1))
    return tuple(terms)


def _coefficients(entries: Any, instance: Mapping[str, Any]) -> dict[str, int]:
    at: Location = ("problem", "shape", "coefficients")
    if entries is None:
        return {}
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise _WrongError(at, f"expected a list of names with defaults, got {shown(entries)}")
    found = {}
    for index, item in enumerate(entries):
        if not isinstance(item.get("name"), str):
            raise _WrongError((*at, index), f"expected a name, got {shown(item.get('name'))}")
        found[item["name"]] = _size(instance.get(item["name"], item.get("default", 1)), (*at, index))
    return found


def _mapping(data: Any, key: str, at: Location) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise _WrongError((*at, key), f"expected a mapping, got {shown(found)}")
    return found


def _size(value: Any, at: Location) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
        raise _WrongError(at, f"expected a whole number from 1 to 10^9, got {shown(value)}")
    return value
