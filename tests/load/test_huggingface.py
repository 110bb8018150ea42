"""Hugging Face models: layers as in the bundled workloads, published sizes, weights from the shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_files import TINY, save_config, save_safetensors, save_shards, tiny_llama

from simsparse.errors import FileError, UsageError
from simsparse.ir import LayerKind, Workload
from simsparse.load.catalog import load_model

LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
BERT = {
    "model_type": "bert",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "id2label": {str(i): "label" for i in range(1000)},
}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}


@pytest.mark.parametrize(
    ("bundled", "config", "options"),
    [
        ("llama-2-7b-prefill", LLAMA_7B, {}),
        ("llama-2-7b-prefill", LLAMA_7B | {"num_key_value_heads": 32}, {"phase": "prefill"}),
        ("llama-2-7b-decode", LLAMA_7B, {"phase": "decode"}),
        ("gpt2", GPT2, {"seq": 1024}),
        ("bert-base", BERT, {}),
        ("vit-b-16", VIT, {}),
    ],
)
def test_layers_equal_those_of_the_bundled_workload(
    bundled: str, config: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    save_config(tmp_path / "config.json", **config)
    assert load_model(tmp_path, **options).layers == load_model(bundled).layers
    assert (
        load_model(tmp_path / "config.json", batch=3, **options).layers
        == load_model(bundled, batch=3, seq=options.get("seq")).layers
    )


SMALL_EXPERTS = {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}
PUBLISHED = [
    # parameters of the released model, less embeddings, norms and biases
    ("Llama-3-8B", 8_030_261_248 - 128_256 * 4096 - 65 * 4096, LLAMA_7B | {
        "intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128_256}),
    ("Mistral-7B-v0.1", 7_241_732_096 - 32_000 * 4096 - 65 * 4096, LLAMA_7B | {
        "model_type": "mistral", "intermediate_size": 14336, "num_key_value_heads": 8,
        "sliding_window": 4096}),
    ("Mixtral-8x7B-v0.1", 46_702_792_704 - 32_000 * 4096 - 65 * 4096, LLAMA_7B | {
        "model_type": "mixtral", "intermediate_size": 14336, "num_key_value_heads": 8,
        "num_local_experts": 8, "num_experts_per_tok": 2}),
    ("Qwen2-7B", 7_615_616_512 - 152_064 * 3584 - 57 * 3584 - 28 * 4608, {
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "sliding_window": 8,
        "use_sliding_window": False}),
    ("Qwen3-8B", 8_190_735_360 - 151_936 * 4096 - 73 * 4096 - 36 * 256, {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936}),
    ("Qwen1.5-MoE-A2.7B", 14_315_784_192 - 151_936 * 2048 - 49 * 2048 - 24 * 6144, {
        "model_type": "qwen2_moe", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 151_936,
        "shared_expert_intermediate_size": 5632, **SMALL_EXPERTS}),
    ("opt-125m", 125_239_296 - 2050 * 768 - 25 * 2 * 768 - 12 * (5 * 768 + 3072), {
        "model_type": "opt", "hidden_size": 768, "ffn_dim": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "vocab_size": 50272, "max_position_embeddings": 2048}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "weights", "config"), PUBLISHED, ids=[name for name, _, _ in PUBLISHED])
def test_weights_of_published_models(name: str, weights: int, config: dict[str, Any], tmp_path: Path) -> None:
    workload = load_model(save_config(tmp_path / f"{name}.json", **config), seq=64)
    assert sum(layer.weight_elements * layer.count for layer in workload.layers) == weights
    assert workload.name == name


def layer(workload: Workload, name: str) -> Any:
    return next(item for item in workload.layers if item.name == name)


def test_grouped_heads_share_keys(tmp_path: Path) -> None:
    """The MACs are those of all query heads; the keys are read once for each group of them."""
    save_config(tmp_path / "a.json", **LLAMA_7B)
    save_config(tmp_path / "b.json", **LLAMA_7B, num_key_value_heads=8)
    whole, shared = (load_model(tmp_path / f"{name}.json", seq=128) for name in "ab")
    for part in ("attention.scores", "attention.context"):
        of_all, of_groups = layer(whole, f"decoder.{part}"), layer(shared, f"decoder.{part}")
        assert of_all.macs == of_groups.macs
        assert of_groups.groups == 8
        assert of_groups.input_elements < of_all.input_elements
    assert layer(shared, "decoder.attention.key").m == 1024


def test_a_sliding_window_bounds_the_cache(tmp_path: Path) -> None:
    path = save_config(tmp_path / "m.json", **LLAMA_7B | {"model_type": "mistral", "sliding_window": 100})
    assert layer(load_model(path, seq=300, phase="decode"), "decoder.attention.scores").m == 100 * 32
    assert layer(load_model(path, seq=90, phase="decode"), "decoder.attention.scores").m == 90 * 32
    full = load_model(path, seq=300)
    assert any("its sliding window has 100 positions only" in note for note in full.notes)


def test_only_experts_with_tokens_run(tmp_path: Path) -> None:
    config = LLAMA_7B | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    path = save_config(tmp_path / "m.json", **config)
    prefill, decode = load_model(path, seq=100), load_model(path, seq=100, phase="decode")
    gate = layer(prefill, "decoder.mlp.experts.gate")
    assert (gate.count, gate.n) == (32 * 8, 25)
    gate = layer(decode, "decoder.mlp.experts.gate")
    assert (gate.count, gate.n) == (32 * 2, 1)
    assert any("8 are active with 25 tokens each" in note for note in prefill.notes)


def test_dense_layers_among_sparse_ones(tmp_path: Path) -> None:
    config = (
        LLAMA_7B
        | SMALL_EXPERTS
        | {"model_type": "qwen3_moe", "mlp_only_layers": [0], "decoder_sparse_step": 2}
    )
    workload = load_model(save_config(tmp_path / "m.json", **config))
    assert layer(workload, "decoder.dense.mlp.gate").count == 16
    assert layer(workload, "decoder.sparse.attention.query").count == 16


def test_heads_of_bert(tmp_path: Path) -> None:
    masked = save_config(tmp_path / "m.json", **BERT, architectures=["BertForMaskedLM"])
    assert (load_model(masked).layers[-1].m, load_model(masked).layers[-1].n) == (30522, 128)
    classes = save_config(tmp_path / "c.json", **BERT, architectures=["BertForSequenceClassification"])
    assert load_model(classes).layers[-1].m == 2
    answers = save_config(tmp_path / "a.json", **BERT, architectures=["BertForQuestionAnswering"])
    assert (load_model(answers).layers[-1].m, load_model(answers).layers[-1].n) == (2, 128)


def test_opt_with_projections_and_late_norms(tmp_path: Path) -> None:
    config = {
        "model_type": "opt",
        "hidden_size": 1024,
        "ffn_dim": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "vocab_size": 50272,
        "max_position_embeddings": 2048,
        "word_embed_proj_dim": 512,
        "do_layer_norm_before": False,
    }
    workload = load_model(save_config(tmp_path / "m.json", **config), phase="decode")
    products = 24 * (4 * 1024**2 + 2 * 1024 * 4096) + 2 * 512 * 1024 + 50272 * 512
    assert sum(item.weight_elements * item.count for item in workload.layers) == products
    assert layer(workload, "decoder.attention.keys").count == 24
    assert not any(item.name == "norm" for item in workload.layers)


# Weights


def folder_of(tmp_path: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    save_config(folder / "config.json", **config)
    save_safetensors(folder / "model.safetensors", tensors)
    return folder


def test_weights_come_from_the_shards(tmp_path: Path) -> None:
    tensors = tiny_llama()
    names = list(tensors)
    shards = {"1.safetensors": names[:5], "2.safetensors": names[5:]}
    folder = tmp_path / "model"
    save_shards(folder, {shard: {name: tensors[name] for name in part} for shard, part in shards.items()})
    save_config(folder / "config.json", **TINY)
    workload = load_model(folder, seq=4)
    assert len(workload.weights) == 15
    assert not any("seeded" in note for note in workload.notes)
    down = workload.weights["decoder.1.mlp.down"]
    assert np.array_equal(down, tensors["model.layers.1.mlp.down_proj.weight"])
    assert load_model(folder / "config.json", seq=4).layers == workload.layers
    (folder / "2.safetensors").unlink()
    with pytest.raises(FileError, match=r'expected shard file "2\.safetensors", got none'):
        load_model(folder)


def test_every_weighted_layer_finds_its_tensor(tmp_path: Path) -> None:
    """Each family: a tensor for every layer, of its shape, and the values are those of the tensor."""
    tiny = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    moe = TINY | {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 6}
    layers = {
        "qwen2_moe": moe | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 10},
        "qwen3": TINY | {"model_type": "qwen3", "head_dim": 4, "tie_word_embeddings": True},
        "mixtral": TINY | {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 1},
        "opt": tiny | {"model_type": "opt", "ffn_dim": 12, "vocab_size": 9, "max_position_embeddings": 16},
        "bert": tiny | {"model_type": "bert", "vocab_size": 9, "max_position_embeddings": 16},
        "vit": tiny | {"model_type": "vit", "image_size": 8, "patch_size": 4, "architectures": ["ViTModel"]},
    }
    for name, config in layers.items():
        tensors = expected_tensors(name)
        workload = load_model(folder_of(tmp_path, config, tensors), **({} if name == "vit" else {"seq": 4}))
        weighted = [item for item in workload.layers if item.kind.has_weights]
        assert {item.name for item in weighted} == set(workload.weights), name
        total = sum(float(workload.weights[item.name].sum()) for item in weighted)
        assert total == sum(float(values.sum()) for values in tensors.values() if values.ndim > 1), name


def expected_tensors(family: str) -> dict[str, Any]:
    """Names and shapes as the published checkpoints have them; every tensor is filled with its own number."""
    decoder = {"q": (8, 8), "k": (4, 8), "v": (4, 8), "o": (8, 8)}
    if family == "qwen3":
        decoder = {"q": (16, 8), "k": (8, 8), "v": (8, 8), "o": (8, 16)}
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(2):
        base = f"model.layers.{i}."
        if family in ("qwen2_moe", "qwen3", "mixtral"):
            shapes |= {f"{base}self_attn.{part}_proj.weight": shape for part, shape in decoder.items()}
        if family == "qwen3":
            shapes |= {f"{base}mlp.{part}_proj.weight": (12, 8) for part in ("gate", "up")}
            shapes[f"{base}mlp.down_proj.weight"] = (8, 12)
        if family == "mixtral":
            shapes[f"{base}block_sparse_moe.gate.weight"] = (3, 8)
            for e in range(3):
                expert = f"{base}block_sparse_moe.experts.{e}."
                shapes |= {
                    f"{expert}w1.weight": (12, 8),
                    f"{expert}w3.weight": (12, 8),
                    f"{expert}w2.weight": (8, 12),
                }
        if family == "qwen2_moe":
            shapes |= {f"{base}mlp.gate.weight": (3, 8), f"{base}mlp.shared_expert_gate.weight": (1, 8)}
            widths = {f"experts.{e}": 6 for e in range(3)} | {"shared_expert": 10}
            for part, width in widths.items():
                shapes |= {f"{base}mlp.{part}.{side}_proj.weight": (width, 8) for side in ("gate", "up")}
                shapes[f"{base}mlp.{part}.down_proj.weight"] = (8, width)
        if family == "opt":
            base = f"decoder.layers.{i}."
            shapes |= {f"{base}self_attn.{part}_proj.weight": (8, 8) for part in ("q", "k", "v", "out")}
            shapes |= {f"{base}fc1.weight": (12, 8), f"{base}fc2.weight": (8, 12)}
        if family in ("bert", "vit"):
            base = f"encoder.layer.{i}."
            inside = "attention.self" if family == "bert" else "attention.attention"
            shapes |= {f"{base}{inside}.{part}.weight": (8, 8) for part in ("query", "key", "value")}
            shapes[f"{base}attention.output.dense.weight"] = (8, 8)
            shapes |= {f"{base}intermediate.dense.weight": (12, 8), f"{base}output.dense.weight": (8, 12)}
    heads = {
        "qwen2_moe": {"lm_head.weight": (16, 8)},
        "mixtral": {"lm_head.weight": (16, 8)},
        "qwen3": {"model.embed_tokens.weight": (16, 8)},
        "opt": {"decoder.embed_tokens.weight": (9, 8)},
        "bert": {"pooler.dense.weight": (8, 8)},
        "vit": {"pooler.dense.weight": (8, 8), "embeddings.patch_embeddings.projection.weight": (8, 3, 4, 4)},
    }
    shapes |= heads[family]
    return {name: np.full(shape, 1 + i, np.float32) for i, (name, shape) in enumerate(shapes.items())}


def test_gpt2_is_turned_and_taken_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = {"model_type": "gpt2", "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 8, "vocab_size": 6}
    tensors = {
        "transformer.h.0.attn.c_attn.weight": np.where(rng.random((4, 12)) < 0.5, 0, 1).astype(np.float32),
        "transformer.h.0.attn.c_proj.weight": rng.random((4, 4)),
        "transformer.h.0.mlp.c_fc.weight": rng.random((4, 16)),
        "transformer.h.0.mlp.c_proj.weight": rng.random((16, 4)),
        "transformer.wte.weight": rng.random((6, 4)),
    }
    weights = load_model(folder_of(tmp_path, config, tensors)).weights
    together = tensors["transformer.h.0.attn.c_attn.weight"]
    for start, name in zip((0, 4, 8), ("query", "key", "value"), strict=True):
        expected = together[:, start : start + 4].T
        assert np.array_equal(weights[f"decoder.0.attention.{name}"], expected)
        assert np.array_equal(weights.nonzero(f"decoder.0.attention.{name}"), expected != 0)  # type: ignore[attr-defined]
    assert np.array_equal(weights["decoder.0.mlp.fc"], tensors["transformer.h.0.mlp.c_fc.weight"].T)
    assert np.array_equal(weights["lm_head"], tensors["transformer.wte.weight"])


def test_pruned_pairs_in_a_folder(tmp_path: Path) -> None:
    tensors = tiny_llama()
    name = "model.layers.0.mlp.up_proj.weight"
    values = tensors.pop(name)
    mask = np.zeros(values.shape, np.float16)
    mask[:, ::2] = 1
    workload = load_model(folder_of(tmp_path, TINY, tensors | {f"{name}_orig": values, f"{name}_mask": mask}))
    assert np.array_equal(workload.weights["decoder.0.mlp.up"], values * mask)


def test_weights_of_another_model(tmp_path: Path) -> None:
    tensors = tiny_llama() | {"model.layers.0.mlp.up_proj.weight": np.ones((12, 9), np.float16)}
    with pytest.raises(
        FileError, match=r"mlp\.up_proj\.weight: expected shape 12x8, got 12x9 \(the weights are"
    ):
        load_model(folder_of(tmp_path, TINY, tensors))
    del tensors["model.layers.0.mlp.up_proj.weight"]
    notes = load_model(folder_of(tmp_path, TINY, tensors)).notes
    assert "1 layers have no tensor in the checkpoint and get seeded weights: decoder.0.mlp.up" in notes
    notes = load_model(folder_of(tmp_path, TINY, {"x": np.ones(3, np.float32)})).notes
    assert any(
        "none of the model's weights under their usual names: all are seeded" in note for note in notes
    )


def test_the_cache_of_the_hub_links_to_blobs(tmp_path: Path) -> None:
    """A snapshot holds links into one folder of blobs; a link to anywhere else is refused."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_config(blobs / "aaa", **TINY)
    save_safetensors(blobs / "bbb", tiny_llama())
    (snapshot / "config.json").symlink_to(blobs / "aaa")
    (snapshot / "model.safetensors").symlink_to(blobs / "bbb")
    assert len(load_model(snapshot).weights) == 15
    save_safetensors(tmp_path / "elsewhere", tiny_llama())
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="a link out of it"):
        load_model(snapshot)


# Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "lama"}, 'model_type: expected one of llama, mistral.*got "lama"'),
        ({"model_type": None}, "model_type: expected one of .*got nothing"),
        ({"hidden_size": "4096"}, 'hidden_size: expected a whole number from 1 to 67,108,864, got "4096"'),
        ({"hidden_size": 2**40}, "hidden_size: expected a whole number from 1 to 67,108,864"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: expected a whole number from 1 to 1,000"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: expected a divisor of 4 heads, got 3"),
        (
            {"num_attention_heads": 3, "num_key_value_heads": 3},
            "expected a divisor of the hidden size 8, got 3",
        ),
        ({"vocab_size": None}, "vocab_size: expected a whole number, got none"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings: expected true or false, got 1"),
        ({"head_dim": 3}, "rotary: expected an even last axis"),
        (
            {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3},
            "expected at most 2, got 3",
        ),
        (
            {"model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1, "mlp_only_layers": [-1]},
            "mlp_only_layers: expected a list of layer numbers",
        ),
    ],
)
def test_mistakes_of_a_configuration(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_config(tmp_path / "config.json", **TINY | changes)
    with pytest.raises((FileError, UsageError), match=message):
        load_model(path)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    path = save_config(tmp_path / "config.json", **TINY | {"vocab_size": 0, "hidden_size": -1})
    with pytest.raises(FileError) as raised:
        load_model(path)
    assert len(raised.value.mistakes) >= 2


def test_options_that_do_not_apply(tmp_path: Path) -> None:
    vit = save_config(tmp_path / "v.json", **VIT)
    with pytest.raises(UsageError, match="seq: expected a model with a sequence, got a vit"):
        load_model(vit, seq=3)
    bert = save_config(tmp_path / "b.json", **BERT)
    with pytest.raises(UsageError, match="phase: expected none, as bert is no decoder"):
        load_model(bert, phase="decode")
    llama = save_config(tmp_path / "l.json", **LLAMA_7B)
    with pytest.raises(UsageError, match="phase: expected prefill or decode"):
        load_model(llama, phase="train")
    with pytest.raises(UsageError, match="seq: expected at most 4096 positions"):
        load_model(llama, seq=5000)
    with pytest.raises(UsageError, match="columns: expected a single matrix"):
        load_model(llama, columns=5)


def test_a_torch_checkpoint_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simsparse.load.files.torch_file.find_spec", lambda _name: None)
    save_config(tmp_path / "config.json", **TINY)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(UsageError, match="expected PyTorch"):
        load_model(tmp_path)


def test_products_of_attention_hold_no_weights(tmp_path: Path) -> None:
    workload = load_model(save_config(tmp_path / "m.json", **TINY))
    kinds = {item.name: item.kind for item in workload.layers}
    assert kinds["decoder.attention.scores"] is LayerKind.MATMUL
    assert not workload.weights
