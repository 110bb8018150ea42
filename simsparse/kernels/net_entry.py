"""Compiled code of a kernel for arguments of these types, to be called again and again with such.

A dispatcher looks at the type of every argument in every call: 5 microseconds while its own program is in the
caches, 30 after a large product has pushed it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import types as _types

types: Any = _types
_typeof: Any = numba.typeof


def entry(kernel: Any, *arguments: Any) -> Callable[..., None]:
    """The code for ``arguments``, and for arrays of other strides in their place."""
    compiled: Callable[..., None] = kernel.compile(tuple(map(_type_of, arguments)))
    return compiled


def _type_of(argument: Any) -> Any:
    if not isinstance(argument, np.ndarray):
        return _typeof(argument)
    return types.Array(numba.from_dtype(argument.dtype), argument.ndim, "A")


def bound(kernel: Any, *arguments: Any) -> Callable[[], None]:
    """A call of ``kernel`` with these very arguments."""
    code = entry(kernel, *arguments)
    return lambda: code(*arguments)
