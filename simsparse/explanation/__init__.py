"""Where a speed-up went, and what happened when: a run looked at from inside, by running it again."""

from __future__ import annotations

from simsparse.explanation.book import PlanBook
from simsparse.explanation.door import explain, explain_run

__all__ = ["PlanBook", "explain", "explain_run"]
