"""The one place with jit options: every kernel is compiled once per machine and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over arrays with ``numba.njit(cache=True)``; integer arithmetic is exact, no fast-
    math.
    """
    jit: Any = numba.njit(cache=True, nogil=True)
    return cast("Callable[P, R]", jit(function))
