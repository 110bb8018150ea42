"""An explanation's terms multiply exactly to the gap between ideal and actual, on every machine."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

import simsparse
from simsparse.errors import UnsupportedError, UsageError
from simsparse.explanation import PlanBook, explain_run
from simsparse.explanation.counterfactual import Cost, LayerWorlds
from simsparse.ir import Layer, LayerKind, Workload, gemm_layer
from simsparse.load.catalog import load_hardware, names
from simsparse.results import Explanation, Run
from simsparse.simulate import simulate

PATTERNS = ("2:4", "unstructured:0.8", "block:4x4:0.75", "filter:0.5")


def workload(*, others: bool = True) -> Workload:
    """Two products, and a layer without weights."""
    relu = Layer(
        name="relu", kind=LayerKind.POOL, operations=96 * 64, input_elements=96 * 64, output_elements=96 * 64
    )
    products = (gemm_layer("a", 96, 128, 64), gemm_layer("b", 64, 96, 64))
    return Workload(name="net", source="test", layers=(*products, relu) if others else products)


def explained(machine: str, pattern: str, **options: object) -> tuple[Run, Explanation, PlanBook]:
    hardware, book = load_hardware(machine), PlanBook()
    try:
        run = simulate(workload(), on=hardware, prune=pattern, observe=book, **options)  # type: ignore[arg-type]
    except UnsupportedError as error:
        pytest.skip(str(error))
    return run, explain_run(run, book, hardware), book


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("machine", names("hardware"))
def test_terms_multiply_to_the_gap(machine: str, pattern: str) -> None:
    run, explanation, book = explained(machine, pattern)
    product = explanation.ideal_speedup * math.prod(term.factor for term in explanation.terms)
    assert product == pytest.approx(run.speedup, rel=1e-9)
    assert explanation.speedup == run.speedup
    # the ideal follows from the masks alone
    pruned = [layer for layer in run.layers if layer.weight_density < 1]
    dense = sum(layer.cost.macs_dense for layer in pruned)
    kept = sum(layer.cost.macs_dense * layer.weight_density for layer in pruned)
    assert explanation.ideal_speedup == pytest.approx(dense / kept, rel=1e-9)
    # each step takes a cost away: no layer gets slower by it, but for the order in which tiles meet
    for result in pruned:
        cycles = [LayerWorlds(book.of(result)).cycles(cost) for cost in Cost]
        assert all(later <= earlier * 1.02 + 1 for earlier, later in pairwise(cycles[:-1]))


def test_a_machine_that_skips_nothing_owes_it_to_the_zeros() -> None:
    _, explanation, _ = explained("tensor-core", "unstructured:0.8")
    factors = {term.name: term.factor for term in explanation.terms}
    assert factors["zeros not skipped"] == pytest.approx(1 / explanation.ideal_speedup, rel=1e-9)


def test_layers_left_dense_are_named() -> None:
    _, explanation, _ = explained("stc", "2:4", skip=("b",))
    term = next(term for term in explanation.terms if term.name == "layers not pruned")
    assert term.factor < 0.9
    assert term.remedy.startswith("prune b (")


def test_a_remedy_is_simulated() -> None:
    explanation = simsparse.explain("gemm:1024,1024,1", on="a100-80gb", prune="2:4")
    term = next(term for term in explanation.terms if term.name == "fixed overheads")
    hardware = load_hardware("a100-80gb")
    assert term.remedy.startswith("starting a layer in 2.00 us instead of 4.00 us recovers ")
    import dataclasses

    run = simulate("gemm:1024,1024,1", on=hardware, prune="2:4")
    half = dataclasses.replace(hardware, launch_s=hardware.launch_s / 2)
    faster = simulate("gemm:1024,1024,1", on=half, prune="2:4", format=run.layers[0].format.split(":")[0])
    gain = 100 * (faster.speedup / run.speedup - 1)
    assert term.remedy.endswith(f"recovers {gain:.1f} %")


def test_a_deeper_queue_is_tried_on_eie() -> None:
    explanation = simsparse.explain("gemm:2048,512,1", on="eie", prune="unstructured:0.9")
    term = next(term for term in explanation.terms if term.name == "load imbalance")
    assert term.factor < 0.98
    assert term.remedy.startswith("a queue depth of 32 instead of 8 recovers")


def test_models_without_zeros_are_refused() -> None:
    with pytest.raises(UsageError, match="expected a model with zeros"):
        simsparse.explain("gemm:64,64,64", on="stc")
    with pytest.raises(UsageError, match="expected weights that are left"):
        simsparse.explain("gemm:64,64,64", on="tpu-like", prune="unstructured:1.0")
