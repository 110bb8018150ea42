"""Whole networks on a GPU: the time of every operator, and of all behind a host that issues them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from simsparse.dataflows.task import ActivationOperand, BoolArray, WeightOperand
from simsparse.hardware import HardwareModel
from simsparse.ir import Layer, Workload
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import workload_file
from simsparse.load.document import read_document, validated
from simsparse.load.lower import lower
from simsparse.load.workload_expand import expand
from simsparse.load.workload_spec import workload_adapter
from simsparse.pattern import Pattern
from simsparse.validation.check import Check

TIME_TOLERANCE = 0.25
SPEEDUP_TOLERANCE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An operator of a network as it runs: how long on the GPU, how often, and whether its weights are
    sparse.
    """

    time_s: float
    count: int
    sparse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Weights kept in a storage format of the machine."""

    format: str
    mask: BoolArray
    pattern: Pattern | None = None


Choose = Callable[[Layer], Stored | None]
"""How the weights of a layer are stored; None for dense."""


def workload_with(name: str, **parameters: int) -> Workload:
    """A bundled workload with other values of its parameters."""
    document = read_document(workload_file(name))
    return lower(expand(validated(document, workload_adapter()), parameters))


def operators(machine: HardwareModel, layers: Iterable[Layer], stored: Choose, dtype: str) -> list[Operator]:
    """The time of every layer; layers of one shape and store are run once."""
    runner = LayerRunner(hardware=machine, dtype=dtype)
    known: dict[object, float] = {}
    found = []
    for layer in layers:
        held = stored(layer) if layer.kind.has_weights else None
        shape = (layer.kind, layer.m, layer.k, layer.n, layer.groups, layer.conv)
        size = (layer.input_elements, layer.output_elements, layer.operations, layer.transposes)
        key = (shape, size, held is None)
        if key not in known:
            known[key] = _time_s(runner, layer, held)
        found.append(Operator(time_s=known[key], count=layer.count, sparse=held is not None))
    return found


def _time_s(runner: LayerRunner, layer: Layer, held: Stored | None) -> float:
    if not layer.kind.is_product:
        return runner.vector(layer).time_s
    weights = WeightOperand(layer.m, layer.k, held.mask if held else None)
    names = (held.format if held else "dense",)
    pattern = held.pattern if held else None
    return runner.product(layer, weights, ActivationOperand(layer), names, pattern).time_s


def network_s(found: Sequence[Operator], dispatch_s: float = 0.0, sparse_dispatch_s: float = 0.0) -> float:
    """Seconds from the first operator's issue to the last one's end.

    The host takes ``dispatch_s`` to issue an operator, ``sparse_dispatch_s`` more where its weights are
    sparse tensors, and runs ahead; the GPU works off what is issued. Neighbours with one count are a block
    that is repeated as a whole.
    """
    issued = ended = 0.0
    for count, block in groupby(found, key=lambda operator: operator.count):
        for operator in list(block) * count:
            issued += dispatch_s + (sparse_dispatch_s if operator.sparse else 0.0)
            ended = max(issued, ended) + operator.time_s
    return ended


def pair(
    row: str, ours_s: tuple[float, float], published_s: tuple[float, float], source: str, *, note: str = ""
) -> list[Check]:
    """Checks of a (dense, sparse) pair of times and of their ratio."""
    return [
        check(row, "dense time", ours_s[0] * 1e3, published_s[0] * 1e3, source, unit="ms", note=note),
        check(row, "sparse time", ours_s[1] * 1e3, published_s[1] * 1e3, source, unit="ms", note=note),
        check(row, "speed-up", ours_s[0] / ours_s[1], published_s[0] / published_s[1], source, note=note),
    ]


def check(
    row: str, quantity: str, ours: float, published: float, source: str, *, unit: str = "", note: str = ""
) -> Check:
    """One figure of a network; figures without a unit are gains."""
    return Check(
        target="end-to-end",
        row=row,
        quantity=quantity,
        ours=ours,
        published=published,
        unit=unit or "x",
        tolerance=TIME_TOLERANCE if unit else SPEEDUP_TOLERANCE,
        kind="hardware",
        source=source,
        note=note,
    )
