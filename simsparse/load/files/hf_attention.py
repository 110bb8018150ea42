"""Attention over heads, shared by the decoder families; groups of query heads may share keys and values."""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.load.files.hf_config import Config
from simsparse.load.files.hf_network import Network
from simsparse.load.graph import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """``heads`` query heads of size ``dim`` share ``kv_heads`` pairs of keys and values."""

    heads: int
    kv_heads: int
    dim: int

    @property
    def width(self) -> int:
        """Features of all query heads."""
        return self.heads * self.dim

    @property
    def kv_width(self) -> int:
        """Features of all keys, or of all values."""
        return self.kv_heads * self.dim


def read_heads(config: Config, hidden: int, name: str, kv_name: str | None = None) -> Heads:
    """The heads of a configuration, checked against its hidden size."""
    heads = config.size(name)
    kv_heads = config.size(kv_name, default=heads) if kv_name else heads
    dim = config.size("head_dim", default=max(1, hidden // heads)) if kv_name else max(1, hidden // heads)
    if heads % kv_heads:
        config.wrong(kv_name or name, f"expected a divisor of {heads} heads, got {kv_heads}")
        kv_heads = heads
    if hidden % heads and config.entries.get("head_dim") is None:
        config.wrong(name, f"expected a divisor of the hidden size {hidden}, got {heads}")
    return Heads(heads=heads, kv_heads=kv_heads, dim=dim)


def attend(net: Network, heads: Heads, queries: str, keys: str, values: str) -> str:
    """Scores, softmax and context of ``queries`` (batch, heads, new, dim) over keys and values (batch,
    kv_heads, cached, dim); the result is (batch, new, heads · dim).

    Query heads that share keys are rows of one product, which is how the sharing saves reads.
    """
    batch, new = net.shapes[queries][0], net.shapes[queries][2]
    if heads.kv_heads < heads.heads:
        rows = heads.heads // heads.kv_heads * new
        together = (batch, heads.kv_heads, rows, heads.dim)
        queries = net.add(Op.RESHAPE, "attention.grouped_queries", queries, shape=together)
    scores = net.add(Op.MATMUL, "attention.scores", queries, keys, transpose_b=1)
    shares = net.add(Op.SOFTMAX, "attention.softmax", scores)
    context = net.add(Op.MATMUL, "attention.context", shares, values)
    if heads.kv_heads < heads.heads:
        apart = (batch, heads.heads, new, heads.dim)
        context = net.add(Op.RESHAPE, "attention.heads", context, shape=apart)
    return net.add(Op.MERGE_HEADS, "attention.merged", context)


def cached_positions(net: Network, window: int | None) -> int:
    """Keys and values that attention reads, the new ones included."""
    seq = net.setting.seq
    if window is None or window >= seq:
        return seq
    if net.setting.is_decode:
        return window
    net.notes[f"attention is computed in full, though its sliding window has {window} positions only"] = None
    return seq
