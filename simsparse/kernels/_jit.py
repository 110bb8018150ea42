"""The one place with jit options: every kernel is compiled once per machine and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
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
        index.save = partial(_save, index)
    return cast("Callable[P, R]", dispatcher)


def _save(index: Any, key: Any, data: Any) -> None:
    """Save what was compiled for ``key`` (argument types and target) in a file of its own name.

    Numba numbers the files: two processes that compile at once may both take a number, and then one
    runs the code of the other. Here they can only lose an entry of the index, and compile it again.
    """
    name = (
        index._index_name.removesuffix(".nbi") + f".{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"
    )
    index._save_data(name, data)  # before the index says it is there
    index._save_index({**index._load_index(), key: name})


@cache
def _folder_stamp() -> str:
    """A digest of every file in this folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
