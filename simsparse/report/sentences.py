"""What a run says in words: the verdict, what could not be simulated, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from simsparse.hardware import HardwareModel
from simsparse.ir import Unsupported
from simsparse.report.plain import plain
from simsparse.results import Run
from simsparse.units import percent, ratio, si

NO_CHANGE = 0.005
"""Ratios closer to one than this are told as no change."""
NAMED = 6
"""Parts with the same reason that are named one by one."""


def verdict(run: Run) -> tuple[str, ...]:
    """The answer in two or three sentences: gains against the best dense execution, and what limits them."""
    where = f"{plain(run.model)} on {plain(run.hardware)} ({run.dtype}, batch {run.batch})"
    share = percent(run.bound_share)
    limit = f"Limited by {plain(run.bound_by)}: {share} of the time is spent where it is the bottleneck."
    if _is_dense(run):
        cost = run.totals
        amounts = f"{si(cost.time_s, 's')}, {si(cost.energy_j, 'J')}, weights {si(cost.stored_bytes, 'B')}"
        return f"{where}, nothing pruned: {amounts}.", limit
    gains = ", ".join(
        (
            change(run.speedup, "faster", "slower", "no faster"),
            change(run.energy_ratio, "less energy", "more energy", "the same energy"),
            change(run.memory_ratio, "smaller", "larger", "the same size"),
        )
    )
    against = f"than its best dense execution on the same machine ({plain(run.baseline_name)})"
    pattern = "with the zeros it brought" if run.pattern == "dense" else plain(run.pattern)
    if run.allocation != "uniform":
        pattern = f"{pattern} ({plain(run.allocation)})"
    if all(abs(value - 1) < NO_CHANGE for value in (run.speedup, run.energy_ratio, run.memory_ratio)):
        return f"{where}, {pattern}: no gain over {against.removeprefix('than ')}.", _amounts(run), limit
    return f"{where}, {pattern}: {gains} {against}.", _amounts(run), limit


def change(value: float, more: str, less: str, same: str) -> str:
    """A gain in words; below one it is told as the loss it is.

    >>> change(1.62, "faster", "slower", "no faster"), change(0.935, "faster", "slower", "no faster")
    ('1.62x faster', '1.07x slower')
    """
    if math.isinf(value):
        return f"infinitely {more}"
    if value >= 1 + NO_CHANGE:
        return f"{ratio(value)} {more}"
    if 0 < value <= 1 / (1 + NO_CHANGE):
        return f"{ratio(1 / value)} {less}"
    return same if value > 0 else f"infinitely {less}"


def advice(run: Run, hardware: HardwareModel | None = None) -> str | None:
    """A useful next command, or None where there is none to give."""
    call = f"simsparse simulate {_shell(run.asked_model or run.model)} --on {_shell(run.hardware)}"
    pruned = f"{call} --prune {_shell(run.asked_pattern)}" if run.asked_pattern else call
    no_gain = run.speedup < 1 + NO_CHANGE
    if _is_dense(run) and (hardware is None or _native_pattern(hardware)):
        return f"{call} --prune {_native_pattern(hardware) or 'unstructured:0.9'}"
    if no_gain and hardware is not None and not _skips(run, hardware):
        native = _native_pattern(hardware)
        if native and native != run.pattern:
            return f"{call} --prune {native}  (the machine skips such zeros)"
        return "simsparse list hardware  (this machine skips no zeros of this kind)"
    if run.format != "auto" and (no_gain or "dram" in run.bound_by):
        return f"{pruned} --format auto"
    if run.bound_by == "launch" and not run.model.startswith(("gemm:", "conv:")):
        return f"{pruned} --batch {4 * run.batch}  (starting layers takes the time)"
    return None


def unsupported_lines(run: Run) -> tuple[str, ...]:
    """Parts that were not simulated, those with the same reason together, with their share of the model."""
    reasons: dict[str, list[Unsupported]] = {}
    for part in run.unsupported:
        reasons.setdefault(part.reason, []).append(part)
    return tuple(_reason_line(reason, parts) for reason, parts in reasons.items())


def _reason_line(reason: str, parts: list[Unsupported]) -> str:
    names = ", ".join(plain(part.name) for part in parts[:NAMED])
    more = f" and {len(parts) - NAMED} more (--json names all)" if len(parts) > NAMED else ""
    share = sum(part.macs_share for part in parts)
    of_model = f" ({percent(share)} of the multiply-adds)" if share else ""
    return f"{names}{more}: {plain(reason)}{of_model}"


def _amounts(run: Run) -> str:
    ours, dense = run.totals, run.baseline
    pairs: Iterator[str] = iter(
        (
            f"{si(ours.time_s, 's')} instead of {si(dense.time_s, 's')}",
            f"{si(ours.energy_j, 'J')} instead of {si(dense.energy_j, 'J')}",
            f"weights {si(ours.stored_bytes, 'B')} instead of {si(dense.stored_bytes, 'B')}",
        )
    )
    return "; ".join(pairs) + "."


def _is_dense(run: Run) -> bool:
    return run.pattern == "dense" and all(layer.weight_density >= 1.0 for layer in run.layers)


def _skips(run: Run, hardware: HardwareModel) -> bool:
    """Whether the machine skips zeros in a format that some layer used."""
    used = {layer.format.split(":")[0] for layer in run.layers}
    return any(support.role == "skip" for name, support in hardware.formats.items() if name in used)


def _native_pattern(hardware: HardwareModel | None) -> str | None:
    """A pattern whose zeros the machine skips; None if it skips none."""
    for name, support in hardware.formats.items() if hardware else ():
        if support.role == "skip":
            return {"nm": "2:4", "vnm": "v64:2:8", "bsr": "block:4x4:0.9"}.get(name, "unstructured:0.9")
    return None


def _shell(name: str) -> str:
    import shlex

    return shlex.quote(plain(name))
