"""BERT and ViT: encoders without a cache; each position attends to all.

Source: modelling files of the same names in https://github.com/huggingface/transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.load.files.hf_attention import Heads, attend, read_heads
from simsparse.load.files.hf_config import MAX_LAYERS, Config
from simsparse.load.files.hf_network import Network
from simsparse.load.graph import Op

_MAX_PIXELS = 2**14
_DEFAULT_LABELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    hidden: int
    intermediate: int
    layers: int
    heads: Heads


def _read(config: Config) -> _Sizes:
    hidden = config.size("hidden_size")
    return _Sizes(
        hidden=hidden,
        intermediate=config.size("intermediate_size"),
        layers=config.size("num_hidden_layers", most=MAX_LAYERS),
        heads=read_heads(config, hidden, "num_attention_heads"),
    )


def _labels(config: Config) -> int:
    labels = config.entries.get("id2label")
    if isinstance(labels, dict) and labels:
        return len(labels)
    return config.size("num_labels", default=_DEFAULT_LABELS)


def add_bert(net: Network, config: Config) -> str:
    """Adds the network of a BERT configuration with the head it was saved with; returns its output."""
    sizes = _read(config)
    vocab, positions = config.size("vocab_size"), config.size("max_position_embeddings")
    kinds, labels = config.size("type_vocab_size", default=2), _labels(config)
    config.check()
    batch, seq = net.setting.batch, net.setting.seq
    tokens, places = net.input("tokens", (batch, seq)), net.input("positions", (1, seq))
    word = net.add(Op.EMBEDDING, "embeddings.word", tokens, vocab=vocab, dim=sizes.hidden)
    place = net.add(Op.EMBEDDING, "embeddings.position", places, vocab=positions, dim=sizes.hidden)
    types = net.input("token_types", (batch, seq))
    kind = net.add(Op.EMBEDDING, "embeddings.token_type", types, vocab=kinds, dim=sizes.hidden)
    state = net.add(Op.ADD, "embeddings.add", word, place, kind)
    state = net.add(Op.LAYER_NORM, "embeddings.norm", state)
    for index, prefix, count in _blocks(sizes, repeat=net.setting.repeat_layers):
        with net.block(prefix, count):
            state = _bert_layer(net, sizes, state, f"bert.encoder.layer.{index}.")
    return _bert_head(net, config.architecture, state, vocab, labels)


def _bert_head(net: Network, architecture: str, state: str, vocab: int, labels: int) -> str:
    hidden = net.shapes[state][-1]
    if architecture.endswith("ForMaskedLM"):
        name = "cls.predictions.transform.dense.weight"
        state = net.linear("transform", state, hidden, name, bias=1)
        state = net.add(Op.GELU, "transform.gelu", state)
        state = net.add(Op.LAYER_NORM, "transform.norm", state)
        return net.linear("predictions", state, vocab, "bert.embeddings.word_embeddings.weight", tied=1)
    if architecture.endswith(("ForTokenClassification", "ForQuestionAnswering")):
        answers = architecture.endswith("ForQuestionAnswering")
        name, size = ("qa_outputs", _DEFAULT_LABELS) if answers else ("classifier", labels)
        return net.linear(name, state, size, f"{name}.weight", bias=1)
    state = net.add(Op.SELECT, "pooler.first_token", state, axis=1, index=0)
    state = net.linear("pooler", state, hidden, "bert.pooler.dense.weight", bias=1)
    state = net.add(Op.TANH, "pooler.tanh", state)
    if architecture.endswith("ForSequenceClassification"):
        return net.linear("classifier", state, labels, "classifier.weight", bias=1)
    return state


def add_vit(net: Network, config: Config) -> str:
    """Adds the network of a ViT configuration with the head it was saved with; returns its output."""
    sizes = _read(config)
    image, patch = config.size("image_size", most=_MAX_PIXELS), config.size("patch_size", most=_MAX_PIXELS)
    channels, labels = config.size("num_channels", default=3), _labels(config)
    if patch > image and not config.mistakes:
        config.wrong("patch_size", f"expected at most the image size {image}, got {patch}")
    config.check()
    batch, hidden = net.setting.batch, sizes.hidden
    pixels = net.input("image", (batch, channels, image, image), "float32")
    token = net.add(Op.LEARNED, "class_token", shape=(1, 1, hidden))
    first = net.add(Op.COPY, "class_tokens", token, shape=(batch, 1, hidden))
    patches = (image // patch) ** 2
    place = net.add(Op.LEARNED, "position_embedding", shape=(1, patches + 1, hidden))
    window = {"kernel": patch, "stride": patch, "out_channels": hidden, "bias": 1}
    state = net.add(Op.CONV, "patch_embedding", pixels, **window)
    net.name_weight(state, "vit.embeddings.patch_embeddings.projection.weight")
    state = net.add(Op.RESHAPE, "patch_rows", state, shape=(batch, hidden, patches))
    state = net.add(Op.TRANSPOSE, "patches", state, axes=(0, 2, 1))
    state = net.add(Op.CONCAT, "tokens", first, state, axis=1)
    state = net.add(Op.ADD, "embedding", state, place)
    for index, prefix, count in _blocks(sizes, repeat=net.setting.repeat_layers):
        with net.block(prefix, count):
            state = _vit_layer(net, sizes, state, f"vit.encoder.layer.{index}.")
    state = net.add(Op.LAYER_NORM, "norm", state)
    state = net.add(Op.SELECT, "class_feature", state, axis=1, index=0)
    if config.architecture.endswith("ForImageClassification"):
        return net.linear("head", state, labels, "classifier.weight", bias=1)
    state = net.linear("pooler", state, hidden, "vit.pooler.dense.weight", bias=1)
    return net.add(Op.TANH, "pooler.tanh", state)


def _blocks(sizes: _Sizes, *, repeat: bool) -> list[tuple[int, str, int]]:
    if repeat:
        return [(index, f"encoder.{index}.", 1) for index in range(sizes.layers)]
    return [(0, "encoder.", sizes.layers)]


def _bert_layer(net: Network, sizes: _Sizes, state: str, tensors: str) -> str:
    context = _attention(net, sizes.heads, state, f"{tensors}attention.self.")
    name = f"{tensors}attention.output.dense.weight"
    output = _output(net, sizes, context, name)
    state = net.add(Op.ADD, "attention.add", output, state)
    state = net.add(Op.LAYER_NORM, "attention.norm", state)
    name = f"{tensors}intermediate.dense.weight"
    inner = net.linear("intermediate", state, sizes.intermediate, name, bias=1)
    inner = net.add(Op.GELU, "intermediate.gelu", inner)
    output = net.linear("output", inner, sizes.hidden, f"{tensors}output.dense.weight", bias=1)
    state = net.add(Op.ADD, "output.add", output, state)
    return net.add(Op.LAYER_NORM, "output.norm", state)


def _vit_layer(net: Network, sizes: _Sizes, state: str, tensors: str) -> str:
    normed = net.add(Op.LAYER_NORM, "attention.norm", state)
    context = _attention(net, sizes.heads, normed, f"{tensors}attention.attention.")
    output = _output(net, sizes, context, f"{tensors}attention.output.dense.weight")
    state = net.add(Op.ADD, "attention.add", output, state)
    normed = net.add(Op.LAYER_NORM, "mlp.norm", state)
    inner = net.linear("mlp.fc1", normed, sizes.intermediate, f"{tensors}intermediate.dense.weight", bias=1)
    inner = net.add(Op.GELU, "mlp.fc1.gelu", inner)
    output = net.linear("mlp.fc2", inner, sizes.hidden, f"{tensors}output.dense.weight", bias=1)
    return net.add(Op.ADD, "mlp.add", output, state)


def _attention(net: Network, heads: Heads, source: str, tensors: str) -> str:
    parts = []
    for name, plural in (("query", "queries"), ("key", "keys"), ("value", "values")):
        tensor = f"{tensors}{name}.weight"
        made = net.linear(f"attention.{name}", source, heads.width, tensor, bias=1, heads=heads.heads)
        parts.append(net.add(Op.SPLIT_HEADS, f"attention.{plural}", made, heads=heads.heads))
    return attend(net, heads, *parts)


def _output(net: Network, sizes: _Sizes, context: str, tensor: str) -> str:
    heads = sizes.heads.heads
    return net.linear("attention.output", context, sizes.hidden, tensor, bias=1, heads=heads, head_axis="k")
