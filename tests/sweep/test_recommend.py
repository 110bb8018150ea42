"""Recommendations: the choice is the best, its crossing is one, and its plan repeats it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simsparse.errors import FileError, PatternError, RequirementError
from simsparse.ir import Workload
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.plan_yaml import ModelPlan, load_plan, plan_text
from simsparse.pattern import parse_pattern
from simsparse.pruning.mixed import prune_mixed
from simsparse.pruning.prune import prune
from simsparse.report.json import to_json
from simsparse.simulate import simulate
from simsparse.sweep.recommend import recommend
from simsparse.sweep.search import FIGURES, Budget, search, tabulate


def network(*texts: str) -> Workload:
    """Inline layers one after the other."""
    layers = [load_model(text).layers[0] for text in texts]
    named = tuple(dataclasses.replace(layer, name=f"layer {i}: x") for i, layer in enumerate(layers))
    return Workload(name="small", layers=named, source="a test")


SMALL = network("gemm:128,256,32", "gemm:64,128,1", "conv:8,16,8,8,3,3", "gemm:256,256,64")


def test_the_choice_is_the_best_format_of_each_layer() -> None:
    found = recommend(SMALL, on="tpu-like", prune="unstructured:0.8", crossover=False)
    for index, choice in enumerate(found.layers):
        times = [
            simulate(SMALL, on="tpu-like", prune="unstructured:0.8", format=name).layers[index].time_s
            for name in ("csr", "bitmask", "rle4", "dense", "coo")
        ]
        assert choice.time_s <= min(times)


@pytest.mark.parametrize("sparsity", [0.2, 0.95])
def test_a_layers_crossing_is_one(sparsity: float) -> None:
    model = network("gemm:256,256,16")
    (choice,) = recommend(model, on="tpu-like", prune=f"unstructured:{sparsity}").layers
    assert choice.best_sparse
    assert choice.pays_from is not None

    def speedup(at: float) -> float:
        return simulate(model, on="tpu-like", prune=f"unstructured:{at:g}", format=choice.best_sparse).speedup

    assert speedup(min(0.99, choice.pays_from + 0.011)) >= 1
    assert choice.pays_from <= 0.01 or speedup(choice.pays_from - 0.011) < 1


def test_the_plan_repeats_the_run(tmp_path: Path) -> None:
    found = recommend(SMALL, on="a100-80gb", prune="2:4", skip=["layer 1*"], crossover=False)
    (tmp_path / "p.yaml").write_text(plan_text(found.plan, comments=["why\nnot"]))
    again = simulate(SMALL, on="a100-80gb", plan=tmp_path / "p.yaml")
    assert [layer.time_s for layer in again.layers] == [layer.time_s for layer in found.run.layers]
    assert again.layers[1].weight_density == 1.0
    assert found.plan.patterns == {"layer 1: x": "dense"}


names = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() or "\n" in text)


@given(
    plan=st.builds(
        ModelPlan,
        model=names,
        hardware=st.sampled_from(["eie", "", "a: b"]),
        prune=st.sampled_from([None, "2:4", "unstructured:0.5"]),
        seed=st.integers(0, 9),
        formats=st.dictionaries(names, st.sampled_from(["csr", "dense"]), max_size=3),
        patterns=st.dictionaries(names, st.sampled_from(["2:4", "dense", "block:4x1:0.5"]), max_size=3),
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plans_survive_their_file(plan: ModelPlan, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(plan_text(plan), "utf-8")
    assert load_plan(path) == plan


def test_a_plan_file_tells_every_mistake(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("formats:\n  a: cssr\n  b: 3\npatterns:\n  a: 9:4\nextra: 1\n")
    with pytest.raises(FileError) as caught:
        load_plan(tmp_path / "p.yaml")
    assert len(caught.value.mistakes) == 4
    assert 'p.yaml:2:6: formats.a: format: expected a known name, got "cssr"' in caught.value.mistakes[0]


def test_a_plan_for_other_layers_or_machines_is_refused() -> None:
    plan = ModelPlan(formats={"layer 0: x": "nm", "layer 9": "csc"})
    with pytest.raises(FileError) as caught:
        simulate(SMALL, on="eie", plan=plan)
    assert len(caught.value.mistakes) == 2


def test_an_empty_plan_changes_nothing() -> None:
    plain = simulate(SMALL, on="tpu-like", prune="2:4")
    assert to_json(simulate(SMALL, on="tpu-like", prune="2:4", plan=ModelPlan())) == to_json(plain)


def test_mixed_pruning_is_each_layers_own() -> None:
    patterns = {"layer 0: x": "2:4", "layer 3: x": "dense"}
    mixed = prune_mixed(
        SMALL,
        {name: parse_pattern(text) for name, text in patterns.items()},
        parse_pattern("unstructured:0.7"),
    )
    for layer in SMALL.layers:
        text = patterns.get(layer.name, "unstructured:0.7")
        mask = mixed.mask(layer)
        if text == "dense":
            assert mask is None
            assert mixed.sparsity_of(layer) == 0
        else:
            assert np.array_equal(mask, prune(SMALL, parse_pattern(text)).mask(layer))  # type: ignore[arg-type]
            assert np.array_equal(mask, mixed.weights_and_mask(layer)[1])  # type: ignore[arg-type]
        assert mixed.pattern_of(layer) == parse_pattern(text)
    assert sum("weights of 3 of 3 pruned layers" in note for note in mixed.notes) == 1
    with pytest.raises(PatternError):
        prune_mixed(SMALL, {"layer 0: x": parse_pattern("head:0.5")})


TEXTS = ("dense", "unstructured:0.5", "unstructured:0.9", "2:4")


@pytest.mark.parametrize("figure", list(FIGURES))
def test_a_search_meets_its_budget_and_its_plan_costs_what_it_says(figure: str) -> None:
    machine = load_hardware("a100-80gb")
    run = simulate(SMALL, on=machine, prune="unstructured:0.9")
    dense = {"time_s": run.baseline.time_s, "energy_j": run.baseline.energy_j}.get(
        figure, run.baseline.stored_bytes
    )
    best = {"time_s": run.totals.time_s, "energy_j": run.totals.energy_j}.get(figure, run.totals.stored_bytes)
    budget = Budget(figure=figure, most=float(min(dense, best) + abs(dense - best) / 2))
    found = search(tabulate(SMALL, machine, TEXTS, budget), SMALL, budget, trials=30)
    totals = simulate(SMALL, on=machine, plan=found.plan).totals
    actual = totals.stored_bytes if figure == "stored_bytes" else getattr(totals, figure)
    assert actual == pytest.approx(found.cost, rel=1e-9)
    assert found.cost <= budget.most
    assert found.kept >= found.kept_first


@given(share=st.floats(0.0, 1.0))
@settings(max_examples=10)
def test_the_first_solution_is_close_to_the_best_of_all(share: float) -> None:
    from itertools import product

    budget = Budget(figure="stored_bytes", most=0.0)
    table = tabulate(SMALL, load_hardware("a100-80gb"), TEXTS, budget)
    low, high = table.cost.min(axis=1).sum(), table.cost.max(axis=1).sum()
    budget = Budget(figure="stored_bytes", most=float(low + share * (high - low)))
    found = search(table, SMALL, budget, trials=0)
    weights = np.array([layer.weight_elements for layer in SMALL.layers])
    rows = np.arange(len(weights))
    best = max(
        float((weights * table.kept[rows, list(choice)]).sum() / weights.sum())
        for choice in product(range(len(TEXTS)), repeat=len(weights))
        if table.cost[rows, list(choice)].sum() <= budget.most
    )
    assert best - 0.5 <= found.kept <= best + 1e-12


def test_an_impossible_budget() -> None:
    budget = Budget(figure="time_s", most=1e-12)
    with pytest.raises(RequirementError, match="at best"):
        search(tabulate(SMALL, load_hardware("a100-80gb"), TEXTS, budget), SMALL, budget, trials=1)
