"""A worker's memory: the things used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The ``most`` things used last, and of these no more than ``most_bytes`` beside the very last.

    Safe to use from several threads, as in a Dask worker; two that miss at once both make the thing.

    >>> recent = Recent(1)
    >>> recent.get("a", lambda: 1), recent.get("b", lambda: 2), recent.get("a", lambda: 3)
    (1, 2, 3)
    """

    def __init__(
        self, most: int, *, most_bytes: int | None = None, size: Callable[[V], int] = lambda _: 0
    ) -> None:
        self._most, self._most_bytes, self._size = most, most_bytes, size
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The thing of ``key``, made where it is not held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            self._held[key] = made
            self._held.move_to_end(key)
            while len(self._held) > 1 and (len(self._held) > self._most or self._too_large()):
                self._held.popitem(last=False)
        return made

    def _too_large(self) -> bool:
        return self._most_bytes is not None and sum(map(self._size, self._held.values())) > self._most_bytes
