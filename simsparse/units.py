"""SI quantities as a person reads them: ``1.5e-5 s`` is ``15 us``."""

from __future__ import annotations

import math

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def si(value: float, unit: str) -> str:
    """``value`` with three significant digits and an SI prefix.

    >>> si(1.5e-5, "s"), si(0.0, "J"), si(123456.0, "B")
    ('15.0 us', '0 J', '123 kB')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f} {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{three_digits(value / scale)} {prefix}{unit}"
    return f"{value:.2e} {unit}"


def three_digits(value: float) -> str:
    """``value`` with three significant digits, no exponent for ordinary sizes.

    >>> three_digits(1.234), three_digits(12.34), three_digits(123.4)
    ('1.23', '12.3', '123')
    """
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"


def ratio(value: float) -> str:
    """A ratio such as a speed-up.

    >>> ratio(1.8449)
    '1.84x'
    """
    return f"{three_digits(value)}x"


def percent(share: float) -> str:
    """A share of one as per cent.

    >>> percent(0.0731)
    '7.3 %'
    """
    return f"{100 * share:.1f} %"
