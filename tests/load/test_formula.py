"""Formulas mean what Python means by them, and can do nothing else."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import UsageError
from simsparse.load.formula import evaluate

NAMES = {"hidden": 768, "seq": 128, "zero": 0}
ATOMS = st.one_of(st.integers(0, 99).map(str), st.sampled_from(sorted(NAMES)))
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"min({', '.join(parts)})"),
    ),
    max_leaves=8,
)


@given(FORMULAS)
def test_a_formula_has_its_python_value(formula: str) -> None:
    try:
        expected = eval(
            formula, {"__builtins__": {"min": min, "max": max}}, dict(NAMES)
        )  # the oracle, on our own text
    except ZeroDivisionError:
        with pytest.raises(UsageError, match="divisor other than 0"):
            evaluate(formula, NAMES)
        return
    if len(formula) <= 200 and abs(expected) < 10**12:
        assert evaluate(formula, NAMES) == expected


@given(st.integers(-(10**15), 10**15))
def test_a_number_is_its_own_value(value: int) -> None:
    assert evaluate(value, {}) == value


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("4 * hiden", 'expected a known name, got "hiden" in "4 * hiden" (did you mean hidden?)'),
        ("nonsense", "(known: hidden, seq, zero)"),
        ("seq // zero", 'expected a divisor other than 0, got "seq // zero"'),
        ("4 *", 'expected a formula such as "4 * hidden", got "4 *"'),
        ("", "expected a formula"),
        ("9" * 201, "expected a formula of at most 200 characters, got 201"),
        ("9" * 199, "expected values up to 10^15"),
        ("10000000000 * 10000000000", "expected values up to 10^15"),
        ("2 ** 3", "(2 ** 3 is not one of them)"),
        ("7 / 2", "is not one of them"),
        ("1.5", "is not one of them"),
        ("True", "is not one of them"),
        ("seq.bit_length()", "is not one of them"),
        ("__import__('os')", "is not one of them"),
        ("abs(seq)", "is not one of them"),
        ("min()", "is not one of them"),
        ("min(*seq)", "is not one of them"),
        ("max(1, key=2)", "is not one of them"),
        ("[1][0]", "is not one of them"),
        ("1 if seq else 2", "is not one of them"),
        ("(" * 99 + "1" + ")" * 98, "expected a formula"),
        ("seq\x00", "expected a formula"),
    ],
)
def test_anything_else_is_refused(formula: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        evaluate(formula, NAMES)
    assert message in str(raised.value)


def test_a_strange_formula_prints_nothing() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for formula in ("1and 2", '"\\d"', "1 is 1"):
            with pytest.raises(UsageError):
                evaluate(formula, NAMES)
    assert seen == []


def test_deep_nesting_is_refused_or_read() -> None:
    assert evaluate("(" * 90 + "1" + ")" * 90, {}) == 1
    assert evaluate("-" * 198 + "1", {}) == 1


@given(st.text(max_size=40))
def test_no_text_does_harm(text: str) -> None:
    try:
        value = evaluate(text, NAMES)
    except UsageError:
        return
    assert isinstance(value, int)
