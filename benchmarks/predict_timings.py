"""Timings of held-out products in a CSV file: one row per pass, so that runs add up."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simsparse.measure.calibrate_cases import ProductCase
from simsparse.measure.calibrate_timing import Sample
from simsparse.measure.timing import Timing, combine

_CASE = ("m", "k", "n", "pattern", "density")
_TIMING = ("time_s", "least_s", "windows", "kept", "gated")
COLUMNS = ("seed", "place", *_CASE, "kernel", "threads", "cold", *_TIMING)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """A timing of the case at a place of a seed's sequence; both decide its mask."""

    seed: int
    place: int
    sample: Sample

    @property
    def key(self) -> tuple[int, int, int, str, bool]:
        """What further passes share."""
        return self.seed, self.place, self.sample.threads, self.sample.kernel, self.sample.cold


def append(path: Path, found: Iterable[HeldOut]) -> None:
    """Add rows, and the head to a new file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        for one in found:
            s = one.sample
            writer.writerow(
                [
                    *(one.seed, one.place),
                    *(getattr(s.case, name) for name in _CASE),
                    *(s.kernel, s.threads, s.cold),
                    *(getattr(s.timing, name) for name in _TIMING),
                ]
            )


def read(path: Path) -> list[HeldOut]:
    """All rows of a file."""
    with path.open(newline="") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: dict[str, str]) -> HeldOut:
    case = ProductCase(
        m=int(row["m"]),
        k=int(row["k"]),
        n=int(row["n"]),
        pattern=row["pattern"],
        density=float(row["density"]),
    )
    timing = Timing(
        time_s=float(row["time_s"]),
        least_s=float(row["least_s"]),
        windows=int(row["windows"]),
        kept=int(row["kept"]),
        gated=row["gated"] == "True",
    )
    sample = Sample(
        case=case,
        kernel=row["kernel"],
        threads=int(row["threads"]),
        cold=row["cold"] == "True",
        timing=timing,
    )
    return HeldOut(seed=int(row["seed"]), place=int(row["place"]), sample=sample)


def combined(passes: Sequence[HeldOut]) -> list[HeldOut]:
    """One timing of all passes over the same kernel, case and state of the caches."""
    seen: dict[tuple[int, int, int, str, bool], list[HeldOut]] = {}
    for one in passes:
        seen.setdefault(one.key, []).append(one)
    return [
        replace(
            those[0],
            sample=replace(those[0].sample, timing=combine([one.sample.timing for one in those])),
        )
        for those in seen.values()
    ]
