"""The bundled workloads against the numbers their papers and released weights state."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from simsparse.ir import Layer, Workload
from simsparse.load.graph import Graph
from simsparse.load.lower import lower
from simsparse.load.parameters import parameter_count
from simsparse.load.workload_yaml import load_workload_yaml

WORKLOADS = Path(__file__).parents[2] / "workloads"
NAMES = sorted(path.stem for path in WORKLOADS.glob("*.yaml"))


@cache
def graph(name: str) -> Graph:
    return load_workload_yaml(WORKLOADS / f"{name}.yaml")


@cache
def workload(name: str) -> Workload:
    return lower(graph(name))


def layers(name: str) -> dict[str, Layer]:
    return {layer.name: layer for layer in workload(name).layers}


def weight_macs(name: str) -> int:
    return sum(layer.macs * layer.count for layer in workload(name).layers if layer.kind.has_weights)


EXACT_PARAMETERS = {
    "alexnet": (60_965_224, "BVLC Caffe, bvlc_alexnet.caffemodel; 60 million in the paper"),
    "googlenet": (6_998_552, "Caffe bvlc_googlenet without its auxiliary classifiers, as netscope counts it"),
    "vgg16": (138_357_544, "torchvision vgg16; 138 million in table 2 of the paper"),
    "resnet18": (11_689_512, "torchvision resnet18, num_params of IMAGENET1K_V1"),
    "resnet50": (25_557_032, "torchvision resnet50, num_params of IMAGENET1K_V1"),
    "mobilenet_v1": (4_231_976, "Keras MobileNet 1.0_224, trainable parameters; 4.2 million in table 8"),
    "mobilenet_v2": (3_504_872, "torchvision mobilenet_v2, num_params of IMAGENET1K_V1"),
    "bert-large": (335_141_888, "Hugging Face bert-large-uncased, BertModel; 340M in the paper"),
    "llama-3-8b-decode": (8_030_261_248, "Hugging Face Meta-Llama-3-8B; 8B in the paper"),
    "bert-base": (109_482_240, "Hugging Face bert-base-uncased, BertModel; 110M in the paper"),
    "vit-b-16": (86_567_656, "torchvision vit_b_16, num_params of IMAGENET1K_V1; 86M in table 1"),
    "gpt2": (124_439_808, "Hugging Face gpt2, lm_head tied to the embedding"),
    "llama-2-7b-prefill": (6_738_415_616, "Hugging Face Llama-2-7b-hf"),
    "llama-2-7b-decode": (6_738_415_616, "Hugging Face Llama-2-7b-hf"),
}
MACS = {
    "alexnet": (0.724e9, "Sze et al., Efficient Processing of Deep Neural Networks, table 2: 724 M"),
    "vgg16": (15.47e9, "torchvision vgg16, 15.47 GFLOPS (multiply-adds)"),
    "resnet18": (1.814e9, "torchvision resnet18, 1.814 GFLOPS (multiply-adds)"),
    "resnet50": (4.089e9, "torchvision resnet50, 4.089 GFLOPS (multiply-adds)"),
    "mobilenet_v1": (569e6, "Howard et al., table 8: 569 million multiply-adds"),
    "mobilenet_v2": (300e6, "Sandler et al., table 4: 300 M"),
    "googlenet": (
        1.582e9,
        "Caffe bvlc_googlenet in netscope, 1.58 GMACs; 1.5 billion in section 5 of the paper",
    ),
    "vit-b-16": (17.564e9, "torchvision vit_b_16, 17.564 GFLOPS (multiply-adds)"),
}


def test_every_workload_is_compared_with_something() -> None:
    assert set(NAMES) == set(EXACT_PARAMETERS)


@pytest.mark.parametrize("name", sorted(EXACT_PARAMETERS))
def test_parameters_are_those_of_the_released_weights(name: str) -> None:
    assert parameter_count(graph(name)) == EXACT_PARAMETERS[name][0]


@pytest.mark.parametrize("name", sorted(MACS))
def test_multiply_adds_are_the_published_ones(name: str) -> None:
    assert workload(name).macs == pytest.approx(MACS[name][0], rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_named_after_what_it_holds(name: str) -> None:
    assert graph(name).name == name
    assert len(graph(name).source) > 40


def test_resnet50_agrees_with_str_layer_by_layer() -> None:
    with (Path(__file__).parent / "data" / "resnet50_str_layers.csv").open(encoding="utf-8") as stream:
        published = {row["layer"]: (int(row["weights"]), int(row["macs"])) for row in csv.DictReader(stream)}
    ours = {
        name: (layer.weight_elements, layer.macs) for name, layer in layers("resnet50").items() if layer.macs
    }
    assert ours == published
    assert sum(weights for weights, _ in ours.values()) == 25_502_912


def test_mobilenet_weights_agree_with_distiller() -> None:
    # Distiller's AGP schedule of MobileNetV1 lists 4,209,088 weights in its 28 layers
    weighted = [layer for layer in workload("mobilenet_v1").layers if layer.kind.has_weights]
    assert (len(weighted), sum(layer.weight_elements for layer in weighted)) == (28, 4_209_088)


def test_convolutions_agree_with_timeloop() -> None:
    """NVIDIA's tables of the layers that SCNN ran; AlexNet's first two are split up there, and left out."""
    with (Path(__file__).parent / "data" / "timeloop_layers.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    ours, published = {}, {}
    for row in rows:
        key = row["workload"], row["layer"]
        layer = layers(row["workload"])[row["layer"]]
        ours[key] = (layer.m, layer.k, layer.n, layer.macs)
        published[key] = tuple(int(row[column]) for column in ("m", "k", "n", "macs"))
    assert len(rows) == 70
    assert ours == published


# Han et al., Learning both Weights and Connections, NIPS 2015, table 4: weights, and half its FLOPs
ALEXNET = {
    "conv1": (35e3, 105.5e6),
    "conv2": (307e3, 224e6),
    "conv3": (885e3, 149.5e6),
    "conv4": (663e3, 112e6),
    "conv5": (442e3, 75e6),
    "fc6": (38e6, 37.5e6),
    "fc7": (17e6, 17e6),
    "fc8": (4e6, 4e6),
}


@pytest.mark.parametrize("name", sorted(ALEXNET))
def test_alexnet_agrees_with_han(name: str) -> None:
    layer = layers("alexnet")[name]
    assert layer.weight_elements == pytest.approx(ALEXNET[name][0], rel=0.03)
    assert layer.macs == pytest.approx(ALEXNET[name][1], rel=0.03)


@pytest.mark.parametrize(
    ("name", "weights"), [("bert-base", 84_934_656), ("gpt2", 84_934_656), ("vit-b-16", 84_934_656)]
)
def test_a_transformer_block_is_twelve_times_its_matrices(name: str, weights: int) -> None:
    # 12 blocks of four 768 x 768 matrices and two of 768 x 3072: the "85M" of an encoder
    blocks = [layer for layer in workload(name).layers if layer.count == 12]
    assert sum(layer.weight_elements * layer.count for layer in blocks) == weights


def test_transformer_heads_can_be_pruned() -> None:
    bert = layers("bert-base")
    for part in ("query", "key", "value"):
        layer = bert[f"encoder.attention.{part}"]
        assert (layer.heads, layer.head_axis, layer.count) == (12, "m", 12)
    assert (bert["encoder.attention.output"].heads, bert["encoder.attention.output"].head_axis) == (12, "k")
    assert bert["encoder.intermediate"].heads == 0


def test_attention_products_follow_the_sequence() -> None:
    bert = layers("bert-base")
    scores, context = bert["encoder.attention.scores"], bert["encoder.attention.context"]
    assert (scores.groups, scores.m, scores.k, scores.n) == (12, 12 * 128, 64, 128)
    assert (context.groups, context.m, context.k, context.n) == (12, 12 * 64, 128, 128)


def test_a_decode_step_reads_every_weight_for_one_column() -> None:
    decode = layers("llama-2-7b-decode")
    assert all(layer.n == 1 for layer in decode.values() if layer.kind.is_product)
    assert decode["decoder.attention.scores"].m == 32 * 512
    assert decode["decoder.attention.scores"].input_elements == 32 * (512 + 1) * 128
    # reading the cache is the operand's traffic; appending writes one position
    assert decode["decoder.attention.keys"].output_elements == 32 * 128
    assert weight_macs("llama-2-7b-decode") == 6_738_415_616 - 32_000 * 4096 - 65 * 4096


def test_prefill_makes_logits_for_the_last_position_only() -> None:
    prefill = layers("llama-2-7b-prefill")
    assert prefill["lm_head"].n == 1
    assert prefill["decoder.mlp.gate"].n == 512
    assert weight_macs("llama-2-7b-prefill") == 512 * 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32_000


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_multiplies_work_and_not_weights(name: str) -> None:
    base, double = workload(name), lower(load_workload_yaml(WORKLOADS / f"{name}.yaml", batch=2))
    assert double.batch == 2
    assert double.macs == 2 * base.macs
    assert [layer.weight_elements for layer in double.layers] == [
        layer.weight_elements for layer in base.layers
    ]
    assert parameter_count(load_workload_yaml(WORKLOADS / f"{name}.yaml", batch=2)) == parameter_count(
        graph(name)
    )


NAMED = {
    "resnet50": ("conv1", "layer1.0.conv1", "layer1.0.downsample", "layer4.2.conv3", "fc"),
    "resnet18": ("conv1", "layer1.1.conv2", "layer2.0.downsample", "layer4.1.conv2", "fc"),
    "alexnet": ("conv1", "conv5", "fc6", "fc8"),
    "vgg16": ("conv1_1", "conv5_3", "fc6", "fc8"),
    "googlenet": (
        "conv1",
        "conv2_reduce",
        "inception_3a.1x1",
        "inception_5b.5x5_reduce",
        "inception_4e.pool_proj",
    ),
    "mobilenet_v1": ("conv0", "block1.depthwise", "block13.pointwise", "fc"),
    "mobilenet_v2": ("conv0", "block1.project", "block2.expand", "block17.depthwise", "conv_last", "fc"),
    "vit-b-16": ("patch_embedding", "encoder.attention.query", "encoder.mlp.fc1", "head"),
    "gpt2": ("decoder.attention.output", "decoder.mlp.proj", "lm_head"),
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_layers_have_the_names_people_know(name: str) -> None:
    weighted = {layer.name for layer in workload(name).layers if layer.kind.has_weights}
    assert set(NAMED[name]) <= weighted
