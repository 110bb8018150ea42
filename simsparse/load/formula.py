"""Formulas in workload files: ``4 * hidden``, ``seq * batch``, ``max(1, seq // 2)``.

Whole numbers, names, ``+ - * //``, ``min``, ``max`` and brackets, and nothing else: the text is read into a
syntax tree and walked, never executed. Its length and every value on the way are bounded, so a file cannot
hang the reader.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache

from simsparse.errors import UsageError, nearest

MAX_LENGTH = 200
MAX_VALUE = 10**15
_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_FUNCTIONS: dict[str, Callable[[list[int]], int]] = {"min": min, "max": max}


def evaluate(formula: int | str, names: Mapping[str, int]) -> int:
    """The value of ``formula`` where ``names`` have the given values; a whole number is its own value.

    Raises
    ------
    UsageError
        If the text is no formula, names something unknown, divides by zero or leaves ±10¹⁵.

    >>> evaluate("4 * hidden + min(seq, 7)", {"hidden": 768, "seq": 128})
    3079
    """
    if isinstance(formula, int):
        return _bounded(formula, str(formula))
    return _value(_parsed(formula), names, formula)


@lru_cache(maxsize=4096)
def _parsed(formula: str) -> ast.expr:
    if len(formula) > MAX_LENGTH:
        raise UsageError(
            f"expected a formula of at most {MAX_LENGTH} characters, got {len(formula)} (use parameters)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # "1and 2" is no formula, and no reason to print
            warnings.simplefilter("error", DeprecationWarning)
            return ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, Warning, ValueError, MemoryError, RecursionError):
        raise UsageError(f'expected a formula such as "4 * hidden", got "{formula}"') from None


def _value(node: ast.expr, names: Mapping[str, int], formula: str) -> int:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return _bounded(value, formula)
        case ast.Name(id=name):
            return _named(name, names, formula)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names, formula)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            a, b = _value(left, names, formula), _value(right, names, formula)
            if b == 0 and isinstance(sign, ast.FloorDiv):
                raise UsageError(f'expected a divisor other than 0, got "{formula}"')
            return _bounded(_OPERATORS[type(sign)](a, b), formula)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name]([_value(arg, names, formula) for arg in args])
    raise UsageError(
        f'expected whole numbers, names, + - * //, min, max and brackets, got "{formula}" '
        f"({ast.unparse(node)[:40]} is not one of them)"
    )


def _named(name: str, names: Mapping[str, int], formula: str) -> int:
    if name in names:
        return names[name]
    near = nearest(name, names)
    out = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    raise UsageError(f'expected a known name, got "{name}" in "{formula}" ({out})')


def _bounded(value: int, formula: str) -> int:
    if abs(value) > MAX_VALUE:
        raise UsageError(f'expected values up to 10^15, got "{formula}" (check the units)')
    return value
