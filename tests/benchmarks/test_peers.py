"""Peers: what they say when they are missing, and that those at hand multiply."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from benchmarks import ours
from benchmarks.cases import Case, conv_case, make_operands
from benchmarks.peers import PEERS, Peer, limit_threads, missing

PEER = {peer.name: peer for peer in PEERS}
SMALL = Case(m=24, k=40, n=12, pattern="random", sparsity=0.5)


def at_hand(peer: Peer) -> bool:
    return all(importlib.util.find_spec(package) for package in peer.packages)


@pytest.mark.parametrize(
    ("name", "package"), [("mkl-csr", "sparse_dot_mkl"), ("torch", "torch"), ("scipy", "scipy")]
)
def test_a_missing_package_is_named_with_the_way_to_get_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", ModuleType("scipy"))
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(ModuleNotFoundError, package), *sys.meta_path])
    assert missing(PEER[name]) == (
        f"{name}: skipped, {package} is not installed (pip install 'simsparse[bench]')"
    )


def test_a_package_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(ImportError, "torch"), *sys.meta_path])
    message = missing(PEER["torch"])
    assert message == "torch: skipped, torch does not load: no torch here (pip install 'simsparse[bench]')"


def test_threads_are_limited_with_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("threadpoolctl", "torch", "sparse_dot_mkl"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(ModuleNotFoundError), *sys.meta_path])
    limit_threads(1)


class Refusing:
    """An import hook for which some packages, or all, do not load."""

    def __init__(self, kind: type[ImportError], *names: str) -> None:
        self.kind, self.names = kind, names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        del path, target
        if not self.names or name in self.names:
            raise self.kind(f"no {name} here\nand more", name=name)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("n", [1, 12])
def test_peers_at_hand_give_the_product_into_a_fresh_result(peer: Peer, n: int) -> None:
    if not at_hand(peer):
        pytest.skip(f"{peer.name} is not installed")
    case = Case(m=24, k=40, n=n, pattern="4x1", sparsity=0.5)
    if "conv" in peer.kinds:
        case = conv_case(4, 8, 9, 3, 1 + n % 2, "random", 0.5, groups=1 if n == 1 else 4)
    assert peer.takes_part(replace(case, n=128) if case.conv is None else case)
    made = make_operands(case)
    product = peer.build(made, 1)
    product.call()
    product.call()  # nothing may add up from call to call
    assert made.correct(product.result())


@pytest.mark.parametrize("pattern", ["random", "4x1", "2:4"])
@pytest.mark.parametrize("n", [1, 12])
def test_ours_gives_the_product(pattern: str, n: int) -> None:
    made = make_operands(Case(m=24, k=40, n=n, pattern=pattern, sparsity=0.5))
    mine = ours.build(made, 1)
    mine.product.call()
    assert made.correct(mine.product.result())
    assert mine.stored_bytes > 0
    assert mine.kernel


@pytest.mark.parametrize("groups", [1, 4])
def test_our_convolution_is_right(groups: int) -> None:
    made = make_operands(conv_case(4, 8, 9, 3, 1, "random", 0.5, groups=groups))
    mine = ours.build(made, 1)
    mine.product.call()
    assert made.correct(mine.product.result())


def test_products_and_convolutions_have_their_own_peers() -> None:
    conv = conv_case(4, 8, 9, 3, 1, "random", 0.5)
    assert {peer.name for peer in PEERS if peer.takes_part(conv)} == {"torch-conv", "ort-conv"}
    assert not PEER["torch-bsr"].takes_part(SMALL)
    assert PEER["torch-bsr"].takes_part(replace(SMALL, pattern="4x1"))


def test_a_wrong_product_is_noticed() -> None:
    made = make_operands(SMALL)
    right = made.reference.astype(np.float32)
    assert made.correct(right)
    assert not made.correct(right * np.float32(1.001))
    assert not made.correct(made.new_y())
    assert not made.correct(right[:, :-1])
