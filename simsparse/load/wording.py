"""pydantic's mistakes in our words: expected …, got … (way out)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from simsparse.errors import nearest
from simsparse.load.quoting import shown
from simsparse.load.structure import Structure
from simsparse.load.yaml_tree import Location

UNITS = {
    "pj_per_byte": "pJ per byte",
    "bytes_per_s": "bytes per second",
    "per_cycle": "per cycle",
    "bytes": "bytes",
    "cycles": "cycles",
    "hz": "Hz",
    "nm": "nm",
    "pj": "pJ",
    "mm2": "mm²",
    "um2": "µm²",
    "bits": "bits",
    "s": "s",
    "w": "W",
    "j": "J",
}
"""Unit of a name by its ending, longest first."""
_EXAMPLES = {
    "Hz": "1.0e9",
    "s": "1.0e-6",
    "bytes": "32768",
    "bytes per second": "1.0e11",
    "W": "100.0",
    "nm": "28",
}
_PREFIX = {
    "T": 1e12,
    "G": 1e9,
    "M": 1e6,
    "k": 1e3,
    "K": 1e3,
    "": 1.0,
    "m": 1e-3,
    "u": 1e-6,
    "µ": 1e-6,
    "n": 1e-9,
    "p": 1e-12,
}
_BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}
_QUANTITY = re.compile(
    r"\s*([-+]?[0-9][0-9_,]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)\s*([KMGT]i|[TGMkKmuµnp]?)([A-Za-z][A-Za-z/]*|)\s*"
)

_PLAIN = {
    "string_type": ("text", "put it in quotes"),
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
    "list_type": ("a list", "write [a, b]"),
    "tuple_type": ("a list", "write [a, b]"),
    "dict_type": ("a mapping", "write key: value"),
    "mapping_type": ("a mapping", "write key: value"),
    "dataclass_type": ("a mapping", "write key: value"),
    "dataclass_exact_type": ("a mapping", "write key: value"),
    "model_type": ("a mapping", "write key: value"),
    "model_attributes_type": ("a mapping", "write key: value"),
    "none_required": ("nothing", "leave the value out"),
}
_BOUNDS = {
    "greater_than": ("gt", "a number > {}"),
    "greater_than_equal": ("ge", "a number >= {}"),
    "less_than": ("lt", "a number < {}"),
    "less_than_equal": ("le", "a number <= {}"),
    "multiple_of": ("multiple_of", "a multiple of {}"),
}


def unit_of(name: str) -> str:
    """The unit that a name ends in, or nothing.

    >>> unit_of("clock_hz"), unit_of("bandwidth_bytes_per_s"), unit_of("rows")
    ('Hz', 'bytes per second', '')
    """
    for ending, unit in UNITS.items():
        if name == ending or name.endswith(f"_{ending}"):
            return unit
    return ""


def worded(found: Structure, detail: Mapping[str, Any]) -> tuple[Location, str]:
    """The location and the message of one of pydantic's error details."""
    location = found.plain(tuple(part for part in detail["loc"] if part != "[key]"))
    name = str(next((part for part in reversed(location) if isinstance(part, str)), ""))
    expected, out = _expected(detail, name)
    got = "nothing" if detail["type"].startswith("missing") else shown(detail["input"])
    return location, f"expected {expected}, got {got}" + (f" ({out})" if out else "")


def _expected(detail: Mapping[str, Any], name: str) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    unit = f" in {unit_of(name)}" if unit_of(name) else ""
    if kind in ("missing", "missing_argument"):
        return "a value", f"add {name}: …"
    if kind.startswith(("float", "decimal", "finite")):
        return f"a number{unit}", _as_number(
            detail["input"], _EXAMPLES.get(unit_of(name), "0.5"), whole=False
        )
    if kind.startswith("int"):
        return f"a whole number{unit}", _as_number(detail["input"], "64", whole=True)
    if kind in ("literal_error", "enum"):
        return _choice(str(context["expected"]), detail["input"])
    if kind in _BOUNDS:
        key, form = _BOUNDS[kind]
        return form.format(context[key]), f"change {name}" if name else ""
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return f"{'at least' if 'short' in kind else 'at most'} {bound} entries", f"change {name}"
    if kind == "string_pattern_mismatch":
        return f"text like {context['pattern']}", f"change {name}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", detail["msg"])), ""
    return _PLAIN.get(kind, (str(detail["msg"]).removeprefix("Input should be ").splitlines()[0], ""))


def _choice(expected: str, got: Any) -> tuple[str, str]:
    words = re.findall(r"'([^']*)'", expected) or [expected]
    near = nearest(got, words) if isinstance(got, str) else []
    out = f"did you mean {', '.join(near)}?" if near else f"write {words[0]}"
    return (f"one of {', '.join(words)}" if len(words) > 1 else words[0]), out


def _as_number(got: Any, example: str, *, whole: bool) -> str:
    """How to write what was meant; ``1 GHz`` is ``1.0e9``.

    >>> _as_number("1 GHz", "0.5", whole=False), _as_number("32 KiB", "64", whole=True)
    ('write 1.0e9', 'write 32768')
    >>> _as_number("fast", "0.5", whole=False)
    'write a plain number such as 0.5'
    """
    if isinstance(got, float) and whole:
        return f"write {round(got)}" if abs(got) < 1e15 else ""
    if got is None:
        return "write a number, or leave the key out"
    match = _QUANTITY.fullmatch(got) if isinstance(got, str) else None
    if not match or (match[2] and not match[3] and match[2] in "mp"):
        return f"write a plain number such as {example}"
    value = float(match[1].replace(",", "").replace("_", "")) * _BINARY.get(
        match[2], _PREFIX.get(match[2], 1.0)
    )
    return f"write {round(value)}" if whole else f"write {number(value)}"


def number(value: float) -> str:
    """A number as people write it in YAML.

    >>> number(1e9), number(0.5), number(268435456.0)
    ('1.0e9', '0.5', '2.68435456e8')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return repr(value)
    mantissa, _, exponent = f"{value:.12e}".partition("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}0e{int(exponent)}" if mantissa.endswith(".") else f"{mantissa}e{int(exponent)}"
