"""exp, erf and GELU of SIMD values, to about 3e-7 of absolute error: less than the rounding of the sums.

One vector after the other: a step for all vectors of a value at a time would keep too many numbers in flight
for the registers, and a CPU overlaps the vectors by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from simsparse.kernels.simd_emit import INT32, call, elementwise, inner, operation
from simsparse.kernels.simd_ops import copysign, div, fma, magnitude, mul, splat, sub

_MAGIC = 12582912.0
"""1.5 · 2**23: a float32 near it has no fraction, and its last bits are an integer."""
_EXPONENT_BITS = 23
_ONE_BITS = 0x3F800000
_TAIL_END = 5.6
"""From here on the tail of GELU is below 1e-7."""
_TAIL = (
    0.00255513447,
    -0.0221635271,
    0.0868795663,
    -0.198071346,
    0.274729341,
    -0.198067635,
    -0.0286233164,
    0.21855475,
    -0.189343065,
    -0.00788630825,
    0.137359381,
    -0.0794822052,
    -0.0311521702,
    0.0465988666,
    -0.00554129574,
    -0.00948300213,
    0.00313685322,
)
"""Φ(-u) by powers of s = 2 u / 5.6 - 1, the lowest first, each in float32; a weighted least-squares fit in
float64 whose weights were moved until u · error was level (4e-8), see Lawson, 1961.
"""


@operation
def exponential(typing: Any, of: Any, v: Any) -> Any:  # noqa: ARG001
    """``exponential(width, v)``: ``exp(v)`` for v clamped to -87..88; NaN stays.

    2**n · exp(r) with \\|r\\| <= ln(2) / 2, ln(2) in two parts so that r is exact to float32.
    Source: Cephes ``expf`` (S. Moshier).
    """
    return _of_width(_exponential, of, v)


@operation
def gelu(typing: Any, of: Any, v: Any) -> Any:  # noqa: ARG001
    """``gelu(width, v)``: ``v · Φ(v)``, Φ the normal distribution function; NaN stays.

    ``max(v, 0) - u · Φ(-u)`` with u = \\|v\\|, whose second part is a short bump: a polynomial.
    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    return _of_width(_gelu, of, v)


def _of_width(emit: Any, of: Any, v: Any) -> Any:
    """The operation on a value, which a width goes before."""
    plain = elementwise(emit, v)
    if plain is None:
        return None
    signature, generate = plain

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return generate(context, builder, signature, arguments[1:])

    return v(of, v), codegen


def _exponential(builder: Any, v: Any) -> Any:
    bounded = _smaller(builder, _larger(builder, v, -87.0), 88.0)
    shifted = _fma(builder, bounded, _all(v, 1.44269504088896341), _all(v, _MAGIC))
    n = builder.fsub(shifted, _all(v, _MAGIC))
    r = _fma(builder, n, _all(v, -0.693359375), bounded)
    r = _fma(builder, n, _all(v, 2.12194440e-4), r)
    terms = (
        5.0000001201e-1,
        1.6666665459e-1,
        4.1665795894e-2,
        8.3334519073e-3,
        1.3981999507e-3,
        1.9875691500e-4,
    )
    p = _polynomial(builder, r, terms)
    p = builder.fadd(_fma(builder, p, builder.fmul(r, r), r), _all(v, 1.0))
    integers = ir.VectorType(INT32, v.type.count)
    exponent = builder.shl(builder.bitcast(shifted, integers), _each(integers, _EXPONENT_BITS))
    return builder.fmul(p, builder.bitcast(builder.add(exponent, _each(integers, _ONE_BITS)), v.type))


def _gelu(builder: Any, v: Any) -> Any:
    u = _smaller(builder, call(builder, f"llvm.fabs.v{v.type.count}f32", v.type, [v]), _TAIL_END)
    s = _fma(builder, u, _all(v, 2 / _TAIL_END), _all(v, -1.0))
    square = builder.fmul(s, s)
    odd = _polynomial(builder, square, _TAIL[1::2])
    tail = _fma(builder, odd, s, _polynomial(builder, square, _TAIL[::2]))
    return _fma(builder, builder.fneg(u), tail, _larger(builder, v, 0.0))


def _polynomial(builder: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """The lowest first."""
    total = _all(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = _fma(builder, total, x, _all(x, coefficient))
    return total


def _fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return call(builder, f"llvm.fmuladd.v{x.type.count}f32", x.type, [x, y, z])


def _larger(builder: Any, x: Any, bound: float) -> Any:
    """x, or a bound that is larger; NaN stays."""
    limit = _all(x, bound)
    return builder.select(builder.fcmp_ordered("<", x, limit), limit, x)


def _smaller(builder: Any, x: Any, bound: float) -> Any:
    limit = _all(x, bound)
    return builder.select(builder.fcmp_ordered(">", x, limit), limit, x)


def _all(like: Any, number: float) -> Any:
    """A float32 in every lane."""
    return ir.Constant(like.type, [number] * like.type.count)


def _each(vector: Any, number: int) -> Any:
    return ir.Constant(vector, [number] * vector.count)


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
