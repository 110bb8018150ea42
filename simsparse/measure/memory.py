"""Memory that a process can still get on this host."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes(meminfo: Path = _MEMINFO, group: Path = _GROUP) -> int | None:
    """Bytes that are free or can be freed, within the limit of the process's group; None if nobody tells."""
    found = [number for number in (_host(meminfo), _limit(group)) if number is not None]
    return min(found, default=None)


def _host(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _limit(group: Path) -> int | None:
    try:
        limit, used = (
            (group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        return None if limit.strip() == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
