"""What long work is at: a bar on a terminal, one line a minute elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str, float], None]
"""What is being done, and the share of the work that is behind."""
_LINE_EVERY_S = 60.0


@contextmanager
def steps(name: str) -> Iterator[Tell]:
    """Something to tell; nothing moves when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, markup=False, highlight=False)
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(name, total=1.0)
        yield lambda what, share: bars.update(bar, description=what, completed=share)


def lines(name: str, clock: Callable[[], float] = time.monotonic) -> Tell:
    """One line on stderr, at most every minute."""
    told = [clock()]

    def tell(what: str, share: float) -> None:
        if clock() - told[0] >= _LINE_EVERY_S:
            told[0] = clock()
            print(f"{name}: {100 * share:.0f} %, {what}", file=sys.stderr, flush=True)

    return tell
