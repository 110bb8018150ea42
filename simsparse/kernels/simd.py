"""A SIMD value for Numba: ``count`` vectors of ``lanes`` floats that live in registers.

Indexing Numba arrays inside a hot loop defeats LLVM's vectoriser (signed wrap-around), so a fast kernel keeps
its sums in values of this type and moves them with the operations of ``simd_memory`` and ``simd_ops``, which
work on plain addresses. The size is part of the *type*: a kernel takes a ``Width`` as an argument and is
compiled, and cached on disk, once for each. A ``Width`` is only a name for a size and carries no data.

``host_isa()`` is what this host's CPU offers. ``SIMSPARSE_SIMD=avx512|avx2|plain`` overrides the choice of
lanes (16, 8, 4), for tests: wider than the host is legal, since LLVM splits a vector the CPU lacks, and the
operations that are instructions of one CPU (``gather``, ``expand``) then take their portable form.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending
from numba.core import types
from numba.extending import models

from simsparse.errors import UnknownNameError

_numba: Any = extending

LANES = {"avx512": 16, "avx2": 8, "plain": 4}
"""Floats per vector, widest first."""

_NEEDS = {"avx512": ("avx512f", "avx512vl", "avx512bw", "avx512dq"), "avx2": ("avx2", "fma"), "plain": ()}


@functools.cache
def host_isa() -> str:
    """The widest of ``LANES`` that this CPU executes."""
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on some systems
        return "plain"
    return next(isa for isa, needs in _NEEDS.items() if all(features.get(name) for name in needs))


def chosen_isa() -> str:
    """``SIMSPARSE_SIMD`` if it is set, else ``host_isa()``.

    Raises
    ------
    UnknownNameError
        If the variable names no instruction set of ``LANES``.
    """
    name = os.environ.get("SIMSPARSE_SIMD") or host_isa()
    if name not in LANES:
        raise UnknownNameError("SIMSPARSE_SIMD", name, LANES)
    return name


@dataclass(frozen=True, slots=True)
class Width:
    """``count`` vectors of ``lanes`` floats; ``isa`` says which CPU-specific instructions may be used."""

    lanes: int
    count: int
    isa: str

    @property
    def floats(self) -> int:
        """Floats in a value of this width."""
        return self.lanes * self.count


def width(count: int = 1, isa: str | None = None) -> Width:
    """The width of ``count`` vectors of this host, or of the named instruction set."""
    wanted = isa or chosen_isa()
    order = list(LANES)
    return Width(LANES[wanted], count, max(wanted, host_isa(), key=order.index))


class WidthType(types.Type):
    """The Numba type of one ``Width``."""

    def __init__(self, lanes: int, count: int, isa: str) -> None:
        self.lanes, self.count, self.isa = lanes, count, isa
        super().__init__(name=f"Width({lanes}, {count}, {isa})")


class SimdType(types.Type):
    """The Numba type of ``count`` float vectors of ``lanes`` each."""

    def __init__(self, lanes: int, count: int, isa: str) -> None:
        self.lanes, self.count, self.isa = lanes, count, isa
        super().__init__(name=f"Simd({lanes}, {count}, {isa})")


@_numba.register_model(WidthType)
class _WidthModel(models.OpaqueModel):
    """No data: the type says it all."""


@_numba.register_model(SimdType)
class _SimdModel(models.PrimitiveModel):
    """An LLVM array of vectors, which LLVM takes apart into one register per vector."""

    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, array_of(numba_type))  # type: ignore[no-untyped-call]


def vector_of(of: SimdType | WidthType) -> ir.VectorType:
    """The LLVM type of one of the vectors."""
    return ir.VectorType(ir.FloatType(), of.lanes)


def array_of(of: SimdType | WidthType) -> ir.ArrayType:
    """The LLVM type of all of them."""
    return ir.ArrayType(vector_of(of), of.count)


@_numba.typeof_impl.register(Width)
def _typeof_width(value: Width, context: Any) -> WidthType:  # noqa: ARG001  (Numba's protocol)
    return WidthType(value.lanes, value.count, value.isa)


@_numba.unbox(WidthType)
def _unbox_width(numba_type: WidthType, value: Any, c: Any) -> Any:  # noqa: ARG001
    return _numba.NativeValue(c.context.get_dummy_value())
