"""Llama, Mistral, Qwen2 and Qwen3, and Mixtral and Qwen-MoE with their experts: one skeleton of decoder.

Source: modelling files of the same names in https://github.com/huggingface/transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.load.files.hf_attention import Heads, attend, cached_positions, read_heads
from simsparse.load.files.hf_config import MAX_LAYERS, Config
from simsparse.load.files.hf_experts import Experts, add_experts, read_experts
from simsparse.load.files.hf_network import Network
from simsparse.load.graph import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    hidden: int
    intermediate: int
    vocab: int
    layers: int
    heads: Heads
    window: int | None
    norms_heads: bool
    experts: Experts | None
    dense: frozenset[int]
    """Layers without experts in a model that has some."""
    is_tied: bool


def add_llama(net: Network, config: Config) -> str:
    """Adds the network of a Llama-like configuration; returns the name of its logits."""
    sizes = _read(config)
    config.check()
    setting = net.setting
    tokens = net.input("tokens", (setting.batch, setting.new_tokens))
    state = net.add(Op.EMBEDDING, "embedding", tokens, vocab=sizes.vocab, dim=sizes.hidden)
    for prefix, index, count in _blocks(sizes, repeat=setting.repeat_layers):
        with net.block(prefix, count):
            experts = None if index in sizes.dense else sizes.experts
            state = _decoder(net, sizes, state, f"model.layers.{index}.", experts)
    if not setting.is_decode:
        state = net.add(Op.SELECT, "last_position", state, axis=1, index=-1)
    state = net.add(Op.RMS_NORM, "norm", state)
    head = "model.embed_tokens.weight" if sizes.is_tied else "lm_head.weight"
    return net.linear("lm_head", state, sizes.vocab, head, tied=int(sizes.is_tied))


def _read(config: Config) -> _Sizes:
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers", most=MAX_LAYERS)
    experts = read_experts(config)
    slides = config.flag("use_sliding_window", default=not config.model_type.startswith("qwen"))
    has_window = slides and config.entries.get("sliding_window") is not None
    dense = set(config.indices("mlp_only_layers")) if experts else set()
    if experts:
        step = config.size("decoder_sparse_step", default=1)
        dense |= {index for index in range(layers) if (index + 1) % step}
    return _Sizes(
        hidden=hidden,
        intermediate=config.size("intermediate_size"),
        vocab=config.size("vocab_size"),
        layers=layers,
        heads=read_heads(config, hidden, "num_attention_heads", "num_key_value_heads"),
        window=config.size("sliding_window") if has_window else None,
        norms_heads=config.model_type.startswith("qwen3"),
        experts=experts,
        dense=frozenset(index for index in dense if index < layers),
        is_tied=config.flag("tie_word_embeddings"),
    )


def _blocks(sizes: _Sizes, *, repeat: bool) -> list[tuple[str, int, int]]:
    """Prefix, an index and count of the decoder layers to write out."""
    if repeat:
        return [(f"decoder.{index}.", index, 1) for index in range(sizes.layers)]
    if sizes.experts is None or not sizes.dense:
        return [("decoder.", 0, sizes.layers)]
    sparse = [index for index in range(sizes.layers) if index not in sizes.dense]
    dense = ("decoder.dense.", min(sizes.dense), len(sizes.dense))
    return [dense, ("decoder.sparse.", sparse[0], len(sparse))] if sparse else [dense]


def _decoder(net: Network, sizes: _Sizes, state: str, tensors: str, experts: Experts | None) -> str:
    normed = net.add(Op.RMS_NORM, "attention.norm", state)
    context = _attention(net, sizes, normed, f"{tensors}self_attn.")
    name, heads = f"{tensors}self_attn.o_proj.weight", sizes.heads.heads
    output = net.linear("attention.output", context, sizes.hidden, name, heads=heads, head_axis="k")
    state = net.add(Op.ADD, "attention.add", output, state)
    normed = net.add(Op.RMS_NORM, "mlp.norm", state)
    if experts is None:
        result = gated_mlp(net, "mlp.", normed, sizes.intermediate, f"{tensors}mlp.")
    else:
        result = add_experts(net, experts, normed, tensors)
    return net.add(Op.ADD, "mlp.add", result, state)


def _attention(net: Network, sizes: _Sizes, normed: str, tensors: str) -> str:
    heads, cached = sizes.heads, cached_positions(net, sizes.window)
    query = net.linear("attention.query", normed, heads.width, f"{tensors}q_proj.weight", heads=heads.heads)
    query = net.add(Op.SPLIT_HEADS, "attention.queries", query, heads=heads.heads)
    query = net.add(Op.RMS_NORM, "attention.query_norm", query) if sizes.norms_heads else query
    query = net.add(Op.ROTARY, "attention.rotary_query", query)
    key = net.linear("attention.key", normed, heads.kv_width, f"{tensors}k_proj.weight", heads=heads.kv_heads)
    key = net.add(Op.SPLIT_HEADS, "attention.key_heads", key, heads=heads.kv_heads)
    key = net.add(Op.RMS_NORM, "attention.key_norm", key) if sizes.norms_heads else key
    key = net.add(Op.ROTARY, "attention.rotary_key", key)
    key = net.add(Op.CACHE_APPEND, "attention.keys", key, length=cached)
    value = net.linear(
        "attention.value", normed, heads.kv_width, f"{tensors}v_proj.weight", heads=heads.kv_heads
    )
    value = net.add(Op.SPLIT_HEADS, "attention.value_heads", value, heads=heads.kv_heads)
    value = net.add(Op.CACHE_APPEND, "attention.values", value, length=cached)
    return attend(net, heads, query, key, value)


def gated_mlp(net: Network, prefix: str, source: str, width: int, tensors: str) -> str:
    """``down(silu(gate(x)) · up(x))``; the result has the width of ``source``."""
    hidden = net.shapes[source][-1]
    with net.block(prefix):
        gate = net.linear("gate", source, width, f"{tensors}gate_proj.weight")
        gate = net.add(Op.SILU, "gate.silu", gate)
        up = net.linear("up", source, width, f"{tensors}up_proj.weight")
        both = net.add(Op.MUL, "mul", gate, up)
        return net.linear("down", both, hidden, f"{tensors}down_proj.weight")
