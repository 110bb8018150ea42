"""A table of accuracies that the user brings, joined to the points by the columns it has."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from simsparse.errors import FileError, PatternError, UnknownNameError, UsageError
from simsparse.load.document import shown_path
from simsparse.pattern import parse_pattern
from simsparse.sweep.points import Point

COLUMN = "accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Accuracies by the values of ``columns``, which are fields of a point."""

    columns: tuple[str, ...]
    values: dict[tuple[str, ...], float]

    def of(self, point: Point) -> float:
        """The accuracy of a point; NaN where the table says nothing about it."""
        return self.values.get(tuple(_text(getattr(point, name)) for name in self.columns), math.nan)


def load_accuracy(path: str | Path, points: Iterable[Point]) -> Accuracy:
    """The accuracies of a CSV file with a column ``accuracy`` and others named like fields of a point.

    ::

        model,pattern,accuracy
        resnet50,2:4,0.7602

    Raises
    ------
    FileError
        With every mistake of the file; a row that is about no point of the study is one.
    """
    shown = shown_path(path)
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError([f"{shown}: expected a readable CSV file, got: {error} (check the path)"]) from None
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    _check_header(shown, header)
    columns = tuple(name for name in header if name != COLUMN)
    known = {tuple(_text(getattr(point, name)) for name in columns) for point in points}
    values: dict[tuple[str, ...], float] = {}
    wrong: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            key, value = _row(header, cells)
            if key not in known:
                raise UsageError(
                    f"expected values of the study, got {', '.join(key)} (nothing in the study is so)"
                )
            if values.setdefault(key, value) != value:
                raise UsageError(f"expected each combination once, got {', '.join(key)} twice")
        except UsageError as error:
            wrong.append(f"{shown}:{reader.line_num}:1: {error}")
    if wrong:
        raise FileError(wrong)
    return Accuracy(columns=columns, values=values)


def _check_header(shown: str, header: list[str]) -> None:
    known = [item.name for item in fields(Point) if item.name not in ("purpose", "skip")]
    if COLUMN not in header or len(header) < 2:
        got = ",".join(header)[:80] or "nothing"
        raise FileError([f"{shown}:1:1: expected columns such as model,pattern,accuracy, got {got}"])
    wrong = [name for name in header if name != COLUMN and name not in known]
    if wrong:
        raise FileError(f"{shown}:1:1: {UnknownNameError('column', name, known)}" for name in wrong)


def _row(header: list[str], cells: list[str]) -> tuple[tuple[str, ...], float]:
    if len(cells) != len(header):
        raise UsageError(f"expected {len(header)} cells, got {len(cells)}")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    try:
        value = float(row.pop(COLUMN))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError("accuracy: expected a number (write 0.76)")
    if "pattern" in row:
        try:
            row["pattern"] = str(parse_pattern(row["pattern"]))
        except PatternError as error:
            raise UsageError(str(error)) from None
    return tuple(row[name] for name in header if name != COLUMN), value


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
