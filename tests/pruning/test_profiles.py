"""Published tables map onto the models they are about and no other, and add up to what they state."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from simsparse.errors import UnknownNameError, UsageError
from simsparse.ir import Layer, Workload, gemm_layer
from simsparse.pruning.profile import Profile, ProfileLayer, normalised
from simsparse.pruning.profiles import all_profiles, find_profile, profile_names, profiles_for

DATA = files("simsparse.pruning") / "profile_data"


def table(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / file).read_text(encoding="utf-8").splitlines()))


def totals() -> list[tuple[str, float]]:
    """Overall sparsity in per cent as each table states it in a row of its own."""
    overall = table("resnet50_str_layer_sparsity.csv")[0]
    stated = [float(overall[f"run{run:02d}_sparsity_pct"]) for run in range(1, 17)]
    found = [(f"str-{value:g}", value) for value in stated]
    names = {
        ("AlexNet", "s"): "sensitivity-88",
        ("AlexNet", "A"): "agp-88",
        ("MobileNetV1-1.0", "A"): "agp-52",
    }
    for row in table("distiller_layer_densities.csv"):
        if row["name"] == "Total sparsity:":
            name = names.get((row["network"], row["method"][0]), "agp-80")
            found.append((name, float(row["fine_sparsity_pct"])))
    return found


@pytest.mark.parametrize(("name", "stated"), totals())
def test_weighted_mean_is_the_stated_overall_sparsity(name: str, stated: float) -> None:
    profile = next(profile for profile in all_profiles() if profile.name == name)
    assert profile.overall_density is not None
    assert 100 * (1 - profile.overall_density) == pytest.approx(stated, abs=0.006)


@pytest.mark.parametrize("name", ["uniform-90", "erk-90", "snfs-90", "vd-90", "gs-90"])
def test_the_90_per_cent_tables_are_near_90(name: str, resnet50: Workload) -> None:
    density = find_profile(name, resnet50).overall_density
    assert density == pytest.approx(0.1, abs=0.006)  # global sparsity was published at 89.54 %


def test_two_files_tell_the_same_run() -> None:
    profile = next(profile for profile in all_profiles() if "str-90" in profile.short)
    for row in table("resnet50_90pct_layer_distributions.csv"):
        published = 1 - float(row["STR"].rstrip("%")) / 100
        assert profile.layers[normalised(row["layer_name"])].density == pytest.approx(published, abs=1e-9)


def test_short_names_are_the_nearest_run() -> None:
    runs = {p.name: float(p.name[4:]) for p in all_profiles() if p.name.startswith("str-")}
    assert len(runs) == 16
    for profile in all_profiles():
        for short in profile.short:
            assert profile.name == min(runs, key=lambda name: abs(runs[name] - int(short[4:])))
    assert {"str-80", "str-90", "str-95", "str-98", "str-99"} <= set(profile_names())


def test_every_row_has_its_source_and_densities_are_shares() -> None:
    for row in table("index.csv"):
        assert all(line["source"] for line in table(row["file"]))
    for profile in all_profiles():
        assert profile.source.startswith("github:")
        assert profile.method
        for layer in profile.layers.values():
            assert 0 <= layer.density <= 1
            assert layer.activation_density is None or 0 < layer.activation_density <= 1


def test_every_alias_is_of_a_published_row() -> None:
    published = {row["layer"] for row in table("resnet50_str_layer_sparsity.csv")}
    published |= {row["layer"] for row in table("scnn_timeloop_layer_densities.csv")}
    published |= {row["name"] for row in table("distiller_layer_densities.csv")}
    assert {row["published"] for row in table("aliases.csv")} <= published


def test_resnet50_has_all_of_its_profiles_and_every_layer_its_size(resnet50: Workload) -> None:
    fitting = profiles_for(resnet50)
    assert {profile.network for profile in fitting} == {"ResNet-50"}
    assert len(fitting) == 22
    for profile in fitting:
        assert profile.resized(resnet50) == ()
        assert all(profile.density(layer) is not None for layer in resnet50.layers)


def test_alexnet_of_scnn_maps_grouped_and_folded_layers(alexnet: Workload) -> None:
    profile = find_profile("scnn", alexnet)
    assert profile.network == "AlexNet"
    assert profile.resized(alexnet) == ()
    densities = [profile.density(layer) for layer in alexnet.layers]
    mean = (0.372552083 + 0.38530599) / 2
    assert densities == pytest.approx(
        [0.710165895, mean, 0.346132632, 0.37244858, 0.368810583, None, None, None]
    )
    inputs = [profile.activation_density(layer) for layer in alexnet.layers[:5]]
    assert inputs == pytest.approx([1, (0.906464335 + 0.96539209) / 2, 0.527598003, 0.38936144, 0.429178994])
    assert profile.activation_density(alexnet.layers[5]) is None


def from_profile(profile: Profile) -> Workload:
    """A model with exactly the layers of ``profile``."""
    rows = profile.layers.items()
    return Workload(
        name="twin",
        source="a test",
        layers=tuple(gemm_layer(name, 1, row.weights or 1, 1) for name, row in rows),
    )


@pytest.mark.parametrize("profile", all_profiles(), ids=lambda profile: f"{profile.name}-{profile.network}")
def test_each_profile_is_found_for_a_model_of_its_layers(profile: Profile) -> None:
    twin = from_profile(profile)
    assert find_profile(profile.name, twin) is profile
    assert {other.network for other in profiles_for(twin)} == {profile.network}
    assert [profile.density(layer) for layer in twin.layers] == [
        row.density for row in profile.layers.values()
    ]


def test_bundled_names_of_the_other_networks() -> None:
    by_network = {(profile.name, profile.network): profile.layers for profile in all_profiles()}
    assert {"conv0", "block1.depthwise", "block13.pointwise", "fc"} <= set(
        by_network["agp-52", "MobileNetV1-1.0"]
    )
    assert {"conv1_1", "conv5_3"} <= set(by_network["scnn", "VGG-16"])
    assert {"inception_3a.1x1", "inception_5b.pool_proj"} <= set(by_network["scnn", "GoogLeNet"])
    assert {f"conv{i}" for i in range(1, 6)} | {"fc6", "fc7", "fc8"} == set(by_network["agp-88", "AlexNet"])


def test_a_profile_of_another_model_is_refused_with_those_that_fit(
    alexnet: Workload, small: Workload
) -> None:
    with pytest.raises(
        UsageError, match=r"profile str-90: expected .* ResNet-50, got alexnet \(.*agp-88, scnn\)"
    ):
        find_profile("str-90", alexnet)
    with pytest.raises(UsageError, match=r"profiles of small: there is none"):
        find_profile("scnn", small)
    with pytest.raises(UnknownNameError, match="profile: expected a known name"):
        find_profile("str-12", alexnet)


def test_names_alone_do_not_make_a_profile_fit(resnet50: Workload) -> None:
    def halved(layer: Layer) -> Layer:
        return gemm_layer(layer.name, max(1, layer.m // 2), layer.k, 1)

    thin = Workload(name="thin", layers=tuple(halved(layer) for layer in resnet50.layers), source="a test")
    assert profiles_for(thin) == ()
    deep = Workload(
        name="deep", source="a test",
        layers=(*resnet50.layers, *(gemm_layer(f"layer3.{i}.conv1", 256, 1024, 1) for i in range(6, 60))),
    )  # fmt: skip
    assert profiles_for(deep) == ()


def test_another_size_of_a_few_layers_is_reported(resnet50: Workload) -> None:
    layers = (*resnet50.layers[:-1], gemm_layer("fc", 10, 2048, 1))
    profile = find_profile("str-90", Workload(name="cifar", layers=layers, source="a test"))
    resized = profile.resized(Workload(name="cifar", layers=layers, source="a test"))
    assert resized == ("fc (published 2048000, here 20480)",)


def test_overall_density_is_unknown_without_sizes() -> None:
    profile = Profile(
        name="p", short=(), network="n", method="m", source="s", layers={"a": ProfileLayer(density=0.5)}
    )
    assert profile.overall_density is None


def test_bundled_models_fit_their_profiles() -> None:
    load = pytest.importorskip("simsparse.load", reason="simsparse.load is not there")
    if not hasattr(load, "load_model"):
        pytest.skip("simsparse.load has no load_model yet")
    fitting = {
        "resnet50": {"str-90.23", "erk-90", "agp-80"}, "alexnet": {"scnn"}, "vgg16": {"scnn"},
        "googlenet": {"scnn"}, "mobilenet_v1": {"agp-52"},
    }  # fmt: skip
    for model, names in fitting.items():
        assert names <= {profile.name for profile in profiles_for(load.load_model(model))}, model
