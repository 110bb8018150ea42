"""Published networks: the data are sound, and the front is what no other network beats."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest

import simsparse
from simsparse.cli import run as command
from simsparse.errors import UnknownNameError
from simsparse.load.catalog import load_model
from simsparse.pattern import parse_pattern
from simsparse.pruning.allocation import ALLOCATIONS
from simsparse.pruning.profiles import find_profile
from simsparse.published.networks import PublishedNetwork, all_networks, published_models, published_networks
from simsparse.published.pareto import Front, Point

BETTER = {"top-1 %": "higher", "SQuAD F1": "higher", "WikiText perplexity": "lower"}


@pytest.mark.parametrize(
    "network", all_networks(), ids=lambda network: f"{network.models[0]} {network.label}"
)
def test_every_network_can_be_pruned_as_published(network: PublishedNetwork) -> None:
    assert network.better == BETTER[network.metric]
    assert network.value > 0
    assert network.source.count(";") == 1  # a paper, and where the number stands
    for model in network.models:
        workload = load_model(model)
        if network.pattern is None:
            assert find_profile(network.allocation, workload)
        else:
            parse_pattern(network.pattern)
            assert network.allocation in ALLOCATIONS
        names = [layer.name for layer in workload.layers if layer.kind.has_weights]
        assert all(any(fnmatchcase(name, glob) for name in names) for glob in network.skip)


def test_every_model_has_a_dense_network_and_unique_labels() -> None:
    for model in published_models():
        networks = published_networks(model)
        assert any(network.is_dense for network in networks)
        assert len({network.label for network in networks}) == len(networks)


@pytest.fixture(scope="module")
def front() -> Front:
    return simsparse.pareto("mobilenet_v1", on="tpu-like", format="bitmask")


def test_networks_are_simulated_as_pruned(front: Front) -> None:
    by_label = {point.network.label: point for point in front.points}
    alone = simsparse.simulate(
        "mobilenet_v1", on="tpu-like", format="bitmask", prune="unstructured:0.89", allocation="erk"
    )
    assert by_label["RigL ERK 89 %"].run.totals == alone.totals
    assert by_label["dense (RigL)"].run.speedup == 1.0
    losses = [point.network.loss for point in front.points]
    assert losses == sorted(losses)
    assert "energy" in front.points[0].fronts  # nothing is more accurate


def test_the_front_is_what_no_other_network_beats(front: Front) -> None:
    figures = [(point.network.loss, point.run.totals.energy_j, point) for point in front.points]
    for loss, energy_j, point in figures:
        beaten = any(a <= loss and b <= energy_j and (a < loss or b < energy_j) for a, b, _ in figures)
        assert ("energy" in point.fronts) is not beaten


def test_the_best_is_the_cheapest_within_reach(front: Front) -> None:
    assert front.best("energy", 0.0).network.is_dense
    loose = front.best("energy", 100.0)
    assert loose.run.totals.energy_j == min(point.run.totals.energy_j for point in front.points)
    within = front.best("energy", 2.0)
    assert within.network.value >= 72.1 - 2.0


def test_lower_is_better_for_perplexity() -> None:
    networks = [n for n in published_networks("llama-2-7b-decode") if n.label in ("dense", "Wanda 50 %")]
    cheap = SimpleNamespace(totals=SimpleNamespace(energy_j=1.0))
    points = tuple(Point(network=network, run=cheap, fronts=()) for network in networks)  # type: ignore[arg-type]
    assert points[0].network.loss < points[1].network.loss


def test_the_command_prints_table_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["pareto", "mobilenet_v1", "--on", "tpu-like", "--within", "2"]) == 0
    text = capsys.readouterr().out
    assert "Least energy on tpu-like within 2 of dense top-1 %:" in text
    assert "RigL ERK 50x 89 %" in text
    assert max(map(len, text.splitlines())) <= 80
    assert command(["pareto", "mobilenet_v1", "--on", "tpu-like", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [network["value"] for network in data["networks"]] == [72.1, 70.63, 70.59, 69.31, 69.28]
    assert data["best"]["energy"] in {network["label"] for network in data["networks"]}


def test_a_model_without_published_networks_is_told() -> None:
    with pytest.raises(UnknownNameError, match="model with published sparse networks"):
        simsparse.pareto("vgg16", on="tpu-like")
