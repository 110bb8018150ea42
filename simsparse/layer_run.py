"""One layer on one machine: choose a format, plan, execute, price, and say what limits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from simsparse.dataflows import plan_layer
from simsparse.dataflows.task import ActivationOperand, LayerPlan, LayerTask, WeightOperand
from simsparse.dataflows.vector import plan_vector
from simsparse.energy import price
from simsparse.engine import execute
from simsparse.errors import FormatError, UnsupportedError
from simsparse.formats import make_format
from simsparse.formats.base import SparseFormat
from simsparse.hardware import DTYPE_BITS, FormatSupport, HardwareModel
from simsparse.ir import Layer
from simsparse.pattern import Pattern
from simsparse.plan import TICKS_PER_CYCLE, IntArray
from simsparse.results import Cost, Counts, Execution, LayerResult

LAUNCH, IMBALANCE, LATENCY, COMPUTE, DECODE = "launch", "imbalance", "latency", "compute", "decode"
_BALANCED = 0.75
"""Below this mean-to-busiest ratio a compute-bound layer is called imbalanced."""
AUTO = "auto"
"""The format name that means the fastest the machine reads, layer by layer."""
LOAD_STEPS = 21
"""Quantiles that stand for the distribution of busy time over the units."""
_BUSY = 0.5
"""A layer none of whose resources is busy longer than this share of its time is bound by latency."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A layer's result with the plan it came from, and the task where the layer is a product."""

    layer: Layer
    result: LayerResult
    planned: LayerPlan
    task: LayerTask | None


Tried = dict[SparseFormat, "Chosen | str"]
"""What came of a layer on a machine, with the same operands, in each format so far; or why nothing did."""


@dataclass(frozen=True, kw_only=True)
class LayerRunner:
    """Runs layers on one machine, in one dtype, on one engine; ``notes`` collects approximations met on the
    way. ``observe`` is told of each result that was chosen, sparse or baseline.
    """

    hardware: HardwareModel
    dtype: str
    engine: str = "compiled"
    notes: dict[str, None] = field(default_factory=dict)
    observe: Callable[[Chosen], None] | None = None

    def product(
        self,
        layer: Layer,
        weights: WeightOperand,
        activations: ActivationOperand,
        formats: Sequence[str],
        pattern: Pattern | None,
        *,
        ignore_capacity: bool = False,
        tried: Tried | None = None,
    ) -> LayerResult:
        """The fastest result of a matrix product over those of ``formats`` that can hold and run it.

        ``tried`` remembers results from one call to the next, for the same layer, machine and operands.

        Raises
        ------
        UnsupportedError
            If none of the formats can; the message gives the last reason.
        """
        best: Chosen | None = None
        reason = f"none of {', '.join(formats)} can hold this layer's weights"
        tried = {} if tried is None else tried
        for candidate, support in self._applicable(formats, weights, pattern):
            if candidate not in tried:
                tried[candidate] = self._try_product(
                    layer, weights, activations, candidate, support, ignore_capacity
                )
            found = tried[candidate]
            if isinstance(found, str):
                reason = found
                continue
            if best is None or _rank(found.result) < _rank(best.result):
                best = found
        if best is None:
            raise UnsupportedError(reason)
        return self._chosen(best)

    def candidates(self, chosen: str, weights: WeightOperand) -> tuple[str, ...]:
        """Formats to try: the chosen one, or all; weights that lost nothing are dense where the machine can
        hold that.
        """
        formats = self.hardware.formats
        if weights.mask is None and "dense" in formats:
            return ("dense",)
        if chosen != AUTO:
            return (chosen,)
        return tuple(name for name, support in formats.items() if support.role != "unpack")

    def vector(self, layer: Layer) -> LayerResult:
        """A layer without a matrix product.

        Raises
        ------
        UnsupportedError
            If the machine has no unit for it.
        """
        planned = plan_vector(layer, self.hardware, self.dtype)
        result = self._result(layer, planned, None, 1.0, "")
        return self._chosen(Chosen(layer=layer, result=result, planned=planned, task=None))

    def _chosen(self, found: Chosen) -> LayerResult:
        self.notes.update(dict.fromkeys(found.planned.notes))
        if self.observe is not None:
            self.observe(found)
        return found.result

    def _applicable(
        self, formats: Sequence[str], weights: WeightOperand, pattern: Pattern | None
    ) -> Iterator[tuple[SparseFormat, FormatSupport]]:
        for name in formats:
            support = self.hardware.formats[name]
            candidate = dataclasses.replace(make_format(name, pattern=pattern), **support.parameters)  # type: ignore[type-var]
            try:
                if weights.mask is not None or name != "dense":
                    candidate.check(weights.dense_mask)
            except FormatError:
                continue
            yield candidate, support

    def _try_product(
        self,
        layer: Layer,
        weights: WeightOperand,
        activations: ActivationOperand,
        candidate: SparseFormat,
        support: FormatSupport,
        ignore_capacity: bool,
    ) -> Chosen | str:
        stored = weights if layer.kind.has_weights else WeightOperand(1, 1)
        footprint = stored.footprint(candidate, DTYPE_BITS[self.dtype])
        task = LayerTask(
            layer=layer,
            hardware=self.hardware,
            weights=weights,
            activations=activations,
            format=candidate,
            support=support,
            footprint=footprint,
            dtype=self.dtype,
            ignore_capacity=ignore_capacity,
        )
        try:
            planned = plan_layer(task)
            result = self._result(layer, planned, weights, activations.density, _short(candidate))
        except UnsupportedError as error:
            return str(error)
        return Chosen(layer=layer, result=result, planned=planned, task=task)

    def _result(
        self,
        layer: Layer,
        planned: LayerPlan,
        weights: WeightOperand | None,
        activation_density: float,
        format_: str,
    ) -> LayerResult:
        ran = execute(planned.plan, engine=self.engine)
        cycles = ran.total_cycles * planned.time_factor
        time_s = cycles / self.hardware.clock_hz
        moved = _channel_counts(planned, ran)
        counts = planned.counts + moved
        width = DTYPE_BITS[self.dtype]
        peak = self.hardware.macs_per_cycle[self.dtype] * self.hardware.units * cycles
        busy = ran.unit_busy_ticks
        has_weights = layer.kind.has_weights
        return LayerResult(
            name=layer.name,
            kind=str(layer.kind),
            m=layer.m,
            k=layer.k,
            n=layer.n,
            count=layer.count,
            weight_density=weights.density if weights is not None and has_weights else 1.0,
            activation_density=activation_density,
            format=format_ if has_weights else "",
            kernel=planned.kernel,
            bound_by=bound_by(planned, ran),
            utilisation=planned.macs_done / peak if peak else 0.0,
            bound_cycles=_bound_ticks(ran) * ran.repeat / TICKS_PER_CYCLE,
            balance=float(busy.mean() / busy.max()) if busy.size and busy.max() else 1.0,
            unit_load=_unit_load(busy),
            counts=counts,
            cost=Cost(
                time_s=time_s,
                cycles=cycles,
                energy_by_component_j=price(counts, self.hardware, time_s),
                weight_bytes=planned.weight_bytes if has_weights else 0,
                metadata_bytes=planned.metadata_bytes if has_weights else 0,
                peak_activation_bytes=-(-(layer.input_elements + layer.output_elements) * width // 8),
                dram_bytes=moved[("dram", "byte")],
                macs_dense=layer.macs,
                macs_done=planned.macs_done,
                macs_gated=planned.macs_gated,
                macs_skipped=planned.macs_skipped,
            ),
        )


def _rank(result: LayerResult) -> tuple[float, float]:
    return result.time_s, result.energy_j


def _unit_load(busy: IntArray) -> tuple[float, ...]:
    if busy.size < 2 or not busy.any():
        return ()
    steps = np.linspace(0.0, 1.0, min(busy.size, LOAD_STEPS))
    return tuple(float(value) for value in np.quantile(busy / busy.mean(), steps))


def _short(candidate: SparseFormat) -> str:
    """The format's name with its shape, such as ``nm:2:4`` or ``csr``; index widths are the machine's
    matter.
    """
    return ":".join(part for part in str(candidate).split(":") if "=" not in part)


def _channel_counts(planned: LayerPlan, ran: Execution) -> Counts:
    """Bytes over each channel, as actions of the component it belongs to."""
    total = Counts()
    for channel, moved in zip(planned.plan.channels, ran.channel_bytes, strict=True):
        total += Counts({(channel.priced_as, "byte"): int(moved) * ran.repeat})
    return total


def _bound_ticks(ran: Execution) -> float:
    """The busiest channel, or the compute units' mean, whichever is longer: what perfect overlap would
    reach.
    """
    channels = float(ran.channel_busy_ticks.max(initial=0))
    return max(channels, float(ran.unit_busy_ticks.mean()) if ran.unit_busy_ticks.size else 0.0)


def bound_by(planned: LayerPlan, ran: Execution) -> str:
    """The component that limits a layer: a channel's name, ``compute``, ``decode``, ``imbalance``,
    ``launch``, ``latency``.
    """
    if not ran.total_ticks:
        return COMPUTE
    span = ran.makespan_ticks
    busy = {
        COMPUTE: int(ran.unit_busy_ticks.max(initial=0)),
        DECODE: int(ran.decode_busy_ticks.max(initial=0)),
    }
    for channel, ticks in zip(planned.plan.channels, ran.channel_busy_ticks, strict=True):
        busy[channel.priced_as] = max(busy.get(channel.priced_as, 0), int(ticks))
    limit = max(busy, key=lambda name: busy[name])
    if ran.overhead_ticks > busy[limit] * ran.repeat:
        return LAUNCH
    if limit == COMPUTE and np.mean(ran.unit_busy_ticks) < _BALANCED * busy[limit]:
        return IMBALANCE
    return limit if busy[limit] >= _BUSY * span else LATENCY
