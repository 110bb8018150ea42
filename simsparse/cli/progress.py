"""How far a study is: a bar on a terminal, else a line a minute; always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

EVERY_S = 60.0


class Progress:
    """Shows what a study tells of itself, while in its ``with`` block."""

    def __init__(self, total: int) -> None:
        self._bar: Any = None
        self._task: TaskID | None = None
        self._total = total
        self._started = self._said_s = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, failed="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            sys.stderr.write(f"{text}\n")

    def tell(self, done: int, total: int, failed: int) -> None:
        """Points that are done, of how many, and failed ones among them."""
        words = f", {failed} failed" if failed else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, failed=words)
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = done, now
        if now - self._said_s >= EVERY_S:
            self._said_s = now
            rate = (done - self._first) / max(now - self._started, 1e-9)
            left = f", {(total - done) / rate / 60:.0f} min left" if rate else ""
            sys.stderr.write(f"{done} of {total} points{words}, {rate:.2g} per s{left}\n")


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("points{task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=Console(stderr=True, markup=False, highlight=False), transient=True)
