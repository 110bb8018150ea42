"""exp, erf and GELU of SIMD values, to about 2e-7 of absolute error: less than the rounding of the sums."""

from __future__ import annotations

from typing import Any

from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_ops import (
    add,
    copysign,
    div,
    fma,
    magnitude,
    maximum,
    minimum,
    mul,
    nearest_integer,
    power_of_two,
    splat,
    sub,
)


@inner
def exponential(w: Any, v: Any) -> Any:
    """``exp(v)`` for v clamped to -87..88; NaN stays.

    2**n · exp(r) with \\|r\\| <= ln(2) / 2, ln(2) in two parts so that r is exact to float32.
    Source: Cephes ``expf`` (S. Moshier).
    """
    bounded = maximum(minimum(v, splat(w, 88.0)), splat(w, -87.0))
    n = nearest_integer(mul(bounded, splat(w, 1.44269504088896341)))
    r = fma(n, splat(w, -0.693359375), bounded)
    r = fma(n, splat(w, 2.12194440e-4), r)
    p = fma(splat(w, 1.9875691500e-4), r, splat(w, 1.3981999507e-3))
    p = fma(p, r, splat(w, 8.3334519073e-3))
    p = fma(p, r, splat(w, 4.1665795894e-2))
    p = fma(p, r, splat(w, 1.6666665459e-1))
    p = fma(p, r, splat(w, 5.0000001201e-1))
    p = add(fma(p, mul(r, r), r), splat(w, 1.0))
    return mul(p, power_of_two(n))


@inner
def error_function(w: Any, v: Any) -> Any:
    """``erf(v)`` to 1.5e-7.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
    """
    x = magnitude(v)
    t = div(splat(w, 1.0), fma(splat(w, 0.3275911), x, splat(w, 1.0)))
    p = fma(splat(w, 1.061405429), t, splat(w, -1.453152027))
    p = fma(p, t, splat(w, 1.421413741))
    p = fma(p, t, splat(w, -0.284496736))
    p = fma(p, t, splat(w, 0.254829592))
    tail = mul(mul(p, t), exponential(w, sub(splat(w, 0.0), mul(x, x))))
    return copysign(sub(splat(w, 1.0), tail), v)


@inner
def gelu(w: Any, v: Any) -> Any:
    """``v · Φ(v)``, Φ the normal distribution function.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    half = mul(v, splat(w, 0.5))
    return fma(half, error_function(w, mul(v, splat(w, 0.70710678118654752))), half)
