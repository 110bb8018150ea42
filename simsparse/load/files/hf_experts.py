"""Mixtures of experts: a router sends each token to its ``top_k`` experts.

Which experts is only known when the network runs; here tokens spread evenly. Experts that get no token are
not run, so of E experts min(E, tokens · top_k) are active, with the same number of tokens each.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.load.files.hf_config import MAX_EXPERTS, Config
from simsparse.load.files.hf_network import Network
from simsparse.load.graph import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """``total`` gated perceptrons of ``width``, and one more of ``shared_width`` (0: none) for all tokens."""

    total: int
    top_k: int
    width: int
    shared_width: int
    is_mixtral: bool


def read_experts(config: Config) -> Experts | None:
    """The experts of a configuration, None where its family has none."""
    is_mixtral = config.model_type == "mixtral"
    if not is_mixtral and not config.model_type.endswith("_moe"):
        return None
    total = config.size("num_local_experts", "num_experts", most=MAX_EXPERTS)
    top_k = config.size("num_experts_per_tok", most=MAX_EXPERTS)
    if top_k > total and not config.mistakes:
        config.wrong("num_experts_per_tok", f"expected at most {total}, got {top_k}")
    width = "intermediate_size" if is_mixtral else "moe_intermediate_size"
    shared = config.model_type == "qwen2_moe"
    return Experts(
        total=total,
        top_k=top_k,
        width=config.size(width),
        shared_width=config.size("shared_expert_intermediate_size") if shared else 0,
        is_mixtral=is_mixtral,
    )


def add_experts(net: Network, experts: Experts, normed: str, tensors: str) -> str:
    """Router, active experts and their weighted sum, as ``(batch, new, hidden)``."""
    batch, new, hidden = net.shapes[normed]
    assigned = batch * new * experts.top_k
    active = min(experts.total, assigned)
    each = -(-assigned // active)
    net.notes[
        f"experts: {batch * new} tokens go to {experts.top_k} of {experts.total} experts each, spread evenly:"
        f" {active} are active with {each} tokens each"
    ] = None
    inside = f"{tensors}block_sparse_moe." if experts.is_mixtral else f"{tensors}mlp."
    router = net.linear("mlp.router", normed, experts.total, f"{inside}gate.weight")
    net.add(Op.SOFTMAX, "mlp.router.softmax", router)
    added = ""
    written_out = range(active) if net.setting.repeat_layers else range(1)
    for index in written_out:
        prefix = f"mlp.experts.{index}." if net.setting.repeat_layers else "mlp.experts."
        with net.block(prefix, active // len(written_out)):
            taken = net.add(Op.COPY, "tokens", normed, shape=(each, hidden))
            result = _expert(net, experts, taken, f"{inside}experts.{index}.")
            added = net.add(Op.ADD, "sum", result, taken)  # to the rows of the sum that these tokens have
    summed = net.add(Op.COPY, "mlp.sum", added, shape=(batch, new, hidden))
    return _with_shared(net, experts, normed, summed, inside) if experts.shared_width else summed


def _expert(net: Network, experts: Experts, taken: str, tensors: str) -> str:
    hidden = net.shapes[taken][-1]
    names = ("w1", "w3", "w2") if experts.is_mixtral else ("gate_proj", "up_proj", "down_proj")
    gate = net.linear("gate", taken, experts.width, f"{tensors}{names[0]}.weight")
    gate = net.add(Op.SILU, "gate.silu", gate)
    up = net.linear("up", taken, experts.width, f"{tensors}{names[1]}.weight")
    both = net.add(Op.MUL, "mul", gate, up)
    down = net.linear("down", both, hidden, f"{tensors}{names[2]}.weight")
    return net.add(Op.SCALE, "weighted", down)


def _with_shared(net: Network, experts: Experts, normed: str, summed: str, tensors: str) -> str:
    with net.block("mlp.shared."):
        inside = f"{tensors}shared_expert."
        gate = net.linear("gate", normed, experts.shared_width, f"{inside}gate_proj.weight")
        gate = net.add(Op.SILU, "gate.silu", gate)
        up = net.linear("up", normed, experts.shared_width, f"{inside}up_proj.weight")
        both = net.add(Op.MUL, "mul", gate, up)
        down = net.linear("down", both, net.shapes[normed][-1], f"{inside}down_proj.weight")
        share = net.linear("share", normed, 1, f"{tensors}shared_expert_gate.weight")
        share = net.add(Op.SIGMOID, "share.sigmoid", share)
        down = net.add(Op.MUL, "shared", down, share)
    return net.add(Op.ADD, "mlp.shared.add", summed, down)
