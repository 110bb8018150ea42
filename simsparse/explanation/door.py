"""From the ideal speed-up to the actual one, cause by cause.

Causes are taken away one after the other from the sparse execution *and* from the dense one beside it; what
the speed-up gains at each step is that cause's factor. Layers that hold no weights and layers that were not
pruned go first, then the costs of :class:`simsparse.explanation.counterfactual.Cost` in their order. What is
left at the end is 1 ÷ density, so the factors multiply to the gap exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from simsparse.errors import UsageError
from simsparse.explanation.book import PlanBook
from simsparse.explanation.counterfactual import Cost, LayerWorlds
from simsparse.explanation.remedies import Remedies
from simsparse.explanation.wording import MEANINGS, NOT_PRUNED, WITHOUT_WEIGHTS, name_of
from simsparse.hardware import HardwareModel
from simsparse.ir import LayerKind, Workload
from simsparse.load.catalog import load_hardware
from simsparse.pattern import Pattern
from simsparse.results import Explanation, LayerResult, Run, Term
from simsparse.simulate import simulate

Pair = tuple[LayerResult, LayerResult]


def explain(
    model: str | Workload,
    *,
    on: str | HardwareModel,
    prune: str | Pattern | None = None,
    **options: object,
) -> Explanation:
    """Say where the speed-up of a pruned model went; ``options`` are those of `simsparse.simulate`.

    Raises
    ------
    UsageError
        If a name or number cannot be used, or nothing is pruned.
    UnsupportedError
        If nothing in the model can be simulated on the machine.

    >>> explanation = explain("gemm:256,256,256", on="stc", prune="2:4")
    >>> explanation.ideal_speedup
    2.0
    """
    hardware = load_hardware(on) if isinstance(on, str) else on
    book = PlanBook()
    run = simulate(model, on=hardware, prune=prune, observe=book, **options)  # type: ignore[arg-type]
    return explain_run(run, book, hardware)


def explain_run(run: Run, book: PlanBook, hardware: HardwareModel) -> Explanation:
    """Explain a run whose plans were noted in ``book`` while it was simulated on ``hardware``.

    Raises
    ------
    UsageError
        If nothing is pruned, or nothing is left.
    """
    pairs = list(zip(run.layers, run.baseline_layers, strict=True))
    weighted = [pair for pair in pairs if LayerKind(pair[0].kind).has_weights]
    pruned = [pair for pair in weighted if pair[0].weight_density < 1.0]
    _check(run, pruned)
    steps = [run.speedup, _speedup(weighted), *_worlds(pruned, book)]
    names = [WITHOUT_WEIGHTS, NOT_PRUNED, *map(name_of, list(Cost)[1:])]
    remedies = Remedies(run, book, hardware)
    terms = [
        Term(
            name=name, factor=before / after, meaning=MEANINGS[name], remedy=remedies.of(name, before / after)
        )
        for name, before, after in zip(names, steps[:-1], steps[1:], strict=True)
    ]
    return Explanation(
        model=run.model,
        hardware=run.hardware,
        pattern=run.pattern,
        ideal_speedup=steps[-1],
        speedup=run.speedup,
        terms=tuple(reversed(terms)),
    )


def _check(run: Run, pruned: Sequence[Pair]) -> None:
    if not pruned:
        raise UsageError(
            f"explain: expected a model with zeros, got {run.model} with none (--prune unstructured:0.9)"
        )
    if not any(sparse.weight_density for sparse, _ in pruned) or not math.isfinite(run.speedup):
        raise UsageError(f"explain: expected weights that are left, got none in {run.model} ({run.pattern})")


def _speedup(pairs: Sequence[Pair]) -> float:
    dense = math.fsum(base.time_s * base.count for _, base in pairs)
    return dense / math.fsum(sparse.time_s * sparse.count for sparse, _ in pairs)


def _worlds(pairs: Sequence[Pair], book: PlanBook) -> list[float]:
    """The speed-up of the pruned layers in each world, from the actual one to 1 ÷ density."""
    worlds: dict[int, LayerWorlds] = {}
    dense, sparse = [0.0] * len(Cost), [0.0] * len(Cost)
    known: dict[int, list[float]] = {}
    for ours, base in pairs:
        for result, sums in ((ours, sparse), (base, dense)):
            chosen = book.of(result)
            if id(chosen) not in known:
                world = worlds.setdefault(id(chosen), LayerWorlds(chosen))
                known[id(chosen)] = [world.cycles(cost) for cost in Cost]
            for cost, cycles in zip(Cost, known[id(chosen)], strict=True):
                sums[cost] += cycles * result.count
    return [a / b for a, b in zip(dense, sparse, strict=True)]
