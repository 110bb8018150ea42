"""What the choice of blocks needs to know of this host: its caches."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1024, "M": 1024**2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """Data caches that one core sees; the defaults are those of most CPUs of the last ten years."""

    l1_bytes: int = 32 * 1024
    l2_bytes: int = 512 * 1024


@functools.cache
def host_caches() -> Caches:
    """The caches of this host where the system tells them (Linux), else the defaults."""
    sizes = {}
    for folder in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind in ("Data", "Unified") and size[-1:] in _UNITS:
            sizes[level] = int(size[:-1]) * _UNITS[size[-1]]
    found = Caches()
    return Caches(l1_bytes=sizes.get("1", found.l1_bytes), l2_bytes=sizes.get("2", found.l2_bytes))
