"""The event-driven machine: a readable reference on SimPy and the same machine compiled."""

from __future__ import annotations

from simsparse.errors import UnknownNameError
from simsparse.plan import Plan
from simsparse.results import Execution

ENGINES = ("compiled", "simpy")


def execute(plan: Plan, *, engine: str = "compiled") -> Execution:
    """Run ``plan`` on ``engine``; both engines give the same times to the tick, and ``simpy`` emits events.

    Raises
    ------
    UnknownNameError
        If there is no such engine.
    """
    if engine == "compiled":
        from simsparse.engine.compiled_engine import execute_compiled

        return execute_compiled(plan)
    if engine == "simpy":
        from simsparse.engine.simpy_engine import execute_simpy

        return execute_simpy(plan)
    raise UnknownNameError("engine", engine, ENGINES)
