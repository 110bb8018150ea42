"""The one place with jit options: every kernel is compiled once per machine and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over arrays; integer arithmetic is exact, no fast-math."""
    return _compiled(function, parallel=False)


def threaded_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop whose ``prange`` runs on threads; takes several times as long to compile."""
    return _compiled(function, parallel=True)


def _compiled(function: Callable[P, R], *, parallel: bool) -> Callable[P, R]:
    jit: Any = numba.njit(cache=True, nogil=True, parallel=parallel)
    dispatcher = jit(function)
    index = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if index is not None:
        # a kernel holds parts of other files of this folder; Numba looks at changes of its own file only
        index._source_stamp = (index._source_stamp, _folder_stamp())
    return cast("Callable[P, R]", dispatcher)


@cache
def _folder_stamp() -> str:
    """A digest of every file in this folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
