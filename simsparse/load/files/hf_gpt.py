"""GPT-2 and OPT: decoders with layer norms, learned positions and a plain perceptron.

Source: modelling files of the same names in https://github.com/huggingface/transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.load.files.hf_attention import Heads, attend, read_heads
from simsparse.load.files.hf_config import MAX_LAYERS, Config
from simsparse.load.files.hf_network import Network, WeightName
from simsparse.load.graph import Op

_OPT_OFFSET = 2  # OPT's table of positions has two rows more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    hidden: int
    mlp: int
    vocab: int
    layers: int
    positions: int
    heads: Heads
    activation: Op
    word_width: int
    norms_first: bool = True
    is_tied: bool = True


def add_gpt2(net: Network, config: Config) -> str:
    """Adds the network of a GPT-2 configuration; returns the name of its logits."""
    hidden = config.size("n_embd")
    sizes = _Sizes(
        hidden=hidden,
        mlp=config.size("n_inner", default=4 * hidden),
        vocab=config.size("vocab_size"),
        layers=config.size("n_layer", most=MAX_LAYERS),
        positions=config.size("n_positions", "n_ctx"),
        heads=read_heads(config, hidden, "n_head"),
        activation=Op.RELU if config.entries.get("activation_function") == "relu" else Op.GELU,
        word_width=hidden,
        is_tied=config.flag("tie_word_embeddings", default=True),
    )
    config.check()
    table = "wte.weight" if sizes.is_tied else "lm_head.weight"
    return _decoder_only(net, sizes, _gpt2_weights(hidden), head=table)


def add_opt(net: Network, config: Config) -> str:
    """Adds the network of an OPT configuration; returns the name of its logits."""
    hidden = config.size("hidden_size")
    sizes = _Sizes(
        hidden=hidden,
        mlp=config.size("ffn_dim"),
        vocab=config.size("vocab_size"),
        layers=config.size("num_hidden_layers", most=MAX_LAYERS),
        positions=config.size("max_position_embeddings") + _OPT_OFFSET,
        heads=read_heads(config, hidden, "num_attention_heads"),
        activation=Op.GELU if config.entries.get("activation_function") == "gelu" else Op.RELU,
        word_width=config.size("word_embed_proj_dim", default=hidden),
        norms_first=config.flag("do_layer_norm_before", default=True),
        is_tied=config.flag("tie_word_embeddings", default=True),
    )
    config.check()
    table = "model.decoder.embed_tokens.weight" if sizes.is_tied else "lm_head.weight"
    return _decoder_only(net, sizes, _OPT_WEIGHTS, head=table)


def _gpt2_weights(hidden: int) -> dict[str, WeightName]:
    """GPT-2 keeps (in, out), and query, key and value side by side."""
    query, key, value = (
        WeightName(
            tensor="h.{i}.attn.c_attn.weight", transpose=True, rows=(part * hidden, (part + 1) * hidden)
        )
        for part in range(3)
    )
    return {
        "attention.query": query,
        "attention.key": key,
        "attention.value": value,
        "attention.output": WeightName(tensor="h.{i}.attn.c_proj.weight", transpose=True),
        "mlp.fc": WeightName(tensor="h.{i}.mlp.c_fc.weight", transpose=True),
        "mlp.proj": WeightName(tensor="h.{i}.mlp.c_proj.weight", transpose=True),
    }


_OPT_WEIGHTS = {
    name: WeightName(tensor=f"model.decoder.layers.{{i}}.{tensor}.weight")
    for name, tensor in {
        "attention.query": "self_attn.q_proj",
        "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj",
        "attention.output": "self_attn.out_proj",
        "mlp.fc": "fc1",
        "mlp.proj": "fc2",
    }.items()
}


def _decoder_only(net: Network, sizes: _Sizes, weights: dict[str, WeightName], *, head: str) -> str:
    setting = net.setting
    tokens = net.input("tokens", (setting.batch, setting.new_tokens))
    positions = net.input("positions", (1, setting.new_tokens))
    word = net.add(Op.EMBEDDING, "embeddings.word", tokens, vocab=sizes.vocab, dim=sizes.word_width)
    if sizes.word_width != sizes.hidden:
        word = net.linear("embeddings.project_in", word, sizes.hidden, "model.decoder.project_in.weight")
    place = net.add(Op.EMBEDDING, "embeddings.position", positions, vocab=sizes.positions, dim=sizes.hidden)
    state = net.add(Op.ADD, "embeddings.add", word, place)
    for index in range(sizes.layers if setting.repeat_layers else 1):
        prefix = f"decoder.{index}." if setting.repeat_layers else "decoder."
        with net.block(prefix, 1 if setting.repeat_layers else sizes.layers):
            state = _decoder(net, sizes, state, _of_layer(weights, index))
    if not setting.is_decode:
        state = net.add(Op.SELECT, "last_position", state, axis=1, index=-1)
    if sizes.norms_first:
        state = net.add(Op.LAYER_NORM, "norm", state)
    if sizes.word_width != sizes.hidden:
        state = net.linear("project_out", state, sizes.word_width, "model.decoder.project_out.weight")
    return net.linear("lm_head", state, sizes.vocab, head, tied=int(sizes.is_tied))


def _of_layer(weights: dict[str, WeightName], index: int) -> dict[str, WeightName]:
    return {
        name: WeightName(
            tensor=weight.tensor.replace("{i}", str(index)), transpose=weight.transpose, rows=weight.rows
        )
        for name, weight in weights.items()
    }


def _decoder(net: Network, sizes: _Sizes, state: str, weights: dict[str, WeightName]) -> str:
    normed = net.add(Op.LAYER_NORM, "attention.norm", state) if sizes.norms_first else state
    context = _attention(net, sizes.heads, normed, weights)
    output = _linear(
        net, "attention.output", context, sizes.hidden, weights, heads=sizes.heads.heads, head_axis="k"
    )
    state = net.add(Op.ADD, "attention.add", output, state)
    if not sizes.norms_first:
        state = net.add(Op.LAYER_NORM, "attention.norm", state)
    normed = net.add(Op.LAYER_NORM, "mlp.norm", state) if sizes.norms_first else state
    inner = _linear(net, "mlp.fc", normed, sizes.mlp, weights)
    inner = net.add(sizes.activation, f"mlp.fc.{sizes.activation}", inner)
    output = _linear(net, "mlp.proj", inner, sizes.hidden, weights)
    state = net.add(Op.ADD, "mlp.add", output, state)
    return state if sizes.norms_first else net.add(Op.LAYER_NORM, "mlp.norm", state)


def _attention(net: Network, heads: Heads, normed: str, weights: dict[str, WeightName]) -> str:
    parts = {}
    for name, plural in (("query", "queries"), ("key", "keys"), ("value", "values")):
        made = _linear(net, f"attention.{name}", normed, heads.width, weights, heads=heads.heads)
        if net.setting.is_decode and name != "query":
            split = net.add(Op.SPLIT_HEADS, f"attention.new_{plural}", made, heads=heads.heads)
            parts[name] = net.add(Op.CACHE_APPEND, f"attention.{plural}", split, length=net.setting.seq)
        else:
            parts[name] = net.add(Op.SPLIT_HEADS, f"attention.{plural}", made, heads=heads.heads)
    return attend(net, heads, parts["query"], parts["key"], parts["value"])


def _linear(
    net: Network, name: str, source: str, size: int, weights: dict[str, WeightName], **more: int | str
) -> str:
    return net.linear(name, source, size, weights[name], bias=1, **more)
