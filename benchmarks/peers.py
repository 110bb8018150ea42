"""The competitors: what people use today for the same product, each on its own terms.

Every peer multiplies operands that were converted beforehand, in the memory layout it likes best, and may
reuse its output. ``missing`` says why one cannot run here; nothing is installed on the way.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import Case, Operands
from benchmarks.dense_peers import Product, numpy_dense, onnx_conv, onnx_dense, torch_conv, torch_dense

EXTRA = "pip install 'simsparse[bench]'"
BSR_SIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One competitor; ``group`` is what its time is compared as: scipy, sparse, block or dense."""

    name: str
    group: str
    packages: tuple[str, ...]
    build: Callable[[Operands, int], Product]
    threaded: bool = True
    patterns: tuple[str, ...] = ()
    """The patterns it takes part in; all, where there are none."""
    kinds: tuple[str, ...] = ("spmm", "narrow", "gemv")

    def takes_part(self, case: Case) -> bool:
        """Whether it can run the case and is worth a look."""
        return case.kind in self.kinds and (not self.patterns or case.pattern in self.patterns)


def missing(peer: Peer) -> str | None:
    """Why a peer cannot run here, or nothing."""
    for package in peer.packages:
        try:
            _load(package)
        except ModuleNotFoundError as error:
            return f"{peer.name}: skipped, {error.name} is not installed ({EXTRA})"
        except (ImportError, OSError) as error:
            return f"{peer.name}: skipped, {package} does not load: {str(error).splitlines()[0]} ({EXTRA})"
    return None


def _load(package: str) -> Any:
    if package == "sparse_dot_mkl":
        _show_mkl()
    return importlib.import_module(package)


def _show_mkl() -> None:
    """Tell sparse_dot_mkl where the wheel ``mkl`` keeps its library; it looks in system folders only."""
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        return
    found = [str(file.locate()) for file in files if file.name.startswith(("libmkl_rt", "mkl_rt"))]
    if found:
        os.environ.setdefault("MKL_RT", found[0])


def limit_threads(threads: int) -> None:
    """Set the thread pools of all peers that are there; the others take the number with each product."""
    for package, setter in (
        ("threadpoolctl", lambda module: module.threadpool_limits(threads)),
        ("torch", lambda module: module.set_num_threads(threads)),
        ("sparse_dot_mkl", lambda module: module.mkl_set_num_threads(threads)),
    ):
        try:
            setter(_load(package))
        except (ImportError, OSError):
            continue


def scipy_csr(operands: Operands, threads: int) -> Product:
    """scipy's compressed rows; one thread is all it has."""
    del threads
    weights = _scipy_rows(operands)
    return _kept(lambda: weights @ operands.x)


def mkl_csr(operands: Operands, threads: int) -> Product:
    """MKL's compressed rows, through sparse_dot_mkl."""
    del threads
    from sparse_dot_mkl import dot_product_mkl

    weights, y = _scipy_rows(operands), operands.new_y()
    return Product(call=lambda: dot_product_mkl(weights, operands.x, out=y, out_scalar=0.0), result=lambda: y)


def torch_csr(operands: Operands, threads: int) -> Product:
    """torch's compressed rows with 32-bit indices, which go straight to its own MKL."""
    del threads
    rows = _scipy_rows(operands)
    return _torch_product("sparse_csr_tensor", (rows.indptr, rows.indices, rows.data), operands)


def torch_bsr(operands: Operands, threads: int) -> Product:
    """torch's block rows; MKL takes square blocks only, so 4x1 blocks are padded to 4x4."""
    del threads
    blocks = _scipy_rows(operands).tobsr((BSR_SIDE, BSR_SIDE))
    return _torch_product("sparse_bsr_tensor", (blocks.indptr, blocks.indices, blocks.data), operands)


PEERS = (
    Peer(name="scipy", group="scipy", packages=("scipy",), build=scipy_csr, threaded=False),
    Peer(name="mkl-csr", group="sparse", packages=("scipy", "sparse_dot_mkl"), build=mkl_csr),
    Peer(name="torch-csr", group="sparse", packages=("scipy", "torch"), build=torch_csr),
    Peer(name="torch-bsr", group="block", packages=("scipy", "torch"), build=torch_bsr, patterns=("4x1",)),
    Peer(name="numpy", group="dense", packages=("threadpoolctl",), build=numpy_dense),
    Peer(name="torch", group="dense", packages=("torch",), build=torch_dense),
    Peer(name="onnxruntime", group="dense", packages=("onnx", "onnxruntime"), build=onnx_dense),
    Peer(name="torch-conv", group="dense", packages=("torch",), build=torch_conv, kinds=("conv",)),
    Peer(name="ort-conv", group="dense", packages=("onnx", "onnxruntime"), build=onnx_conv, kinds=("conv",)),
)


def _scipy_rows(operands: Operands) -> Any:
    from scipy.sparse import csr_array

    rows = csr_array(operands.weights)
    rows.sort_indices()
    return rows


def _torch_product(kind: str, arrays: tuple[Any, Any, Any], operands: Operands) -> Product:
    import torch

    pointers, columns, values = arrays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls its sparse support a beta, each time
        weights = getattr(torch, kind)(
            torch.from_numpy(pointers.astype(np.int32)),
            torch.from_numpy(columns.astype(np.int32)),
            torch.from_numpy(values),
            operands.weights.shape,
        )
    x = torch.from_numpy(operands.x)
    return _kept(lambda: weights @ x, read=lambda y: y.numpy())


def _kept(compute: Callable[[], Any], read: Callable[[Any], Any] = np.asarray) -> Product:
    """A product that makes a new array with each call; the last one is remembered."""
    last: list[Any] = [None]

    def call() -> None:
        last[0] = compute()

    return Product(call=call, result=lambda: read(last[0]))
