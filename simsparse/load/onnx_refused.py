"""What cannot be simulated: the reason, and how many multiply-adds it would have been."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simsparse.ir import Unsupported
from simsparse.load.graph import Shape
from simsparse.load.onnx_builder import Operator
from simsparse.load.onnx_text import clean

_MOST_LISTED = 50
_REASONS: Mapping[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), "control flow is decided while the model runs"),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "recurrent steps are not simulated"),
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "MatMulNBits"),
        "a fused integer operator is not simulated (export with QuantizeLinear and DequantizeLinear)",
    ),
}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def reason_for(operator: Operator) -> str:
    """Why an operator without a translation is not simulated."""
    if operator.type in _REASONS:
        return f"{operator.type}: {_REASONS[operator.type]}"
    if not operator.is_standard:
        return f"{operator.type}: an operator of the unknown domain {clean(operator.domain)}"
    return f"{operator.type}: an operator that is not simulated"


def macs_of(operator: Operator, shapes: Mapping[str, Shape]) -> int:
    """Multiply-adds of a refused operator, 0 where they are unknown."""
    ins = [shapes.get(name) for name in operator.inputs]
    out = shapes.get(operator.outputs[0]) if operator.outputs else None
    if any(min(shape, default=1) < 1 for shape in (*ins, out) if shape):
        return 0
    if operator.type in ("Conv", "ConvTranspose", "QLinearConv", "ConvInteger"):
        return _convolution_macs(operator, ins, out)
    if operator.type in ("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulNBits", "FusedMatMul"):
        return math.prod(out) * ins[0][-1] if out and ins and ins[0] else 0
    if operator.type in _GATES and len(ins) > 2 and all(shape and len(shape) == 3 for shape in ins[:3]):
        x, w, r = ins[0] or (), ins[1] or (), ins[2] or ()
        return x[0] * x[1] * (math.prod(w) + math.prod(r))
    if operator.type == "Attention" and len(ins) > 2 and ins[0] and ins[1] and len(ins[0]) > 2:
        return 2 * math.prod(ins[0]) * ins[1][-2]
    return 0


def _convolution_macs(operator: Operator, ins: list[Shape | None], out: Shape | None) -> int:
    """Every output (input, when transposed) meets the kernel and the channels of its group."""
    at = 3 if operator.type == "QLinearConv" else 1
    weight = ins[at] if at < len(ins) else None
    positions = ins[0] if operator.type == "ConvTranspose" else out
    return math.prod(positions) * math.prod(weight[1:]) if weight and positions else 0


def listed(refused: list[tuple[Operator, str, int]], simulated_macs: int) -> tuple[Unsupported, ...]:
    """Entries for the report, those with most multiply-adds first if there are many."""
    total = simulated_macs + sum(macs for _, _, macs in refused)
    entries = [
        Unsupported(name=operator.name, reason=reason, macs_share=macs / total if total else 0.0)
        for operator, reason, macs in refused
    ]
    if len(entries) <= _MOST_LISTED:
        return tuple(entries)
    entries.sort(key=lambda entry: -entry.macs_share)
    rest = entries[_MOST_LISTED:]
    share = sum(entry.macs_share for entry in rest)
    return (
        *entries[:_MOST_LISTED],
        Unsupported(name=f"{len(rest)} more operators", reason="for reasons like these", macs_share=share),
    )
