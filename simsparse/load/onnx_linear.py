"""Products with constant weights, and what ONNX operators of that sort have in common."""

from __future__ import annotations

from simsparse.errors import ShapeError
from simsparse.load.graph import Attribute, Op, Shape, shape_text
from simsparse.load.onnx_builder import GraphBuilder, Operator
from simsparse.load.onnx_weights import Step
from simsparse.load.shape_rules import infer_shape


def linear(
    builder: GraphBuilder,
    operator: Operator,
    x: str,
    weight: str,
    rows: int,
    inner: int,
    out_features: int,
    *steps: Step,
) -> None:
    """A product with constant weights; ``rows`` are the positions it is applied to."""
    heads = operator.metadata.get("simsparse.heads", "0")
    axis = operator.metadata.get("simsparse.head_axis", "m")
    attributes: dict[str, Attribute] = {
        "out_features": out_features,
        "heads": int(heads) if heads.isdecimal() and len(heads) < 6 else 0,
        "head_axis": axis if axis in ("m", "k") else "m",
    }
    source = builder.view(builder.read(x), (rows, inner))
    shape = infer_shape(Op.LINEAR, ((rows, inner),), attributes)
    made = builder.add(operator.name, Op.LINEAR, (source,), shape, **attributes)
    builder.view(made, builder.shape(operator.outputs[0]), output=operator.outputs[0])
    builder.set_weight(operator.name, weight, *steps, Step(reshape=(out_features, inner)))


def grouped(
    builder: GraphBuilder,
    operator: Operator,
    x: str,
    weight: str,
    sizes: tuple[int, int, int, int],
    *steps: Step,
) -> None:
    """Products side by side, each with its own constant weights: a grouped convolution over one axis."""
    batch, rows, inner, columns = sizes
    source = builder.view(builder.read(x), (1, batch * inner, rows))
    made = builder.add(
        operator.name,
        Op.CONV,
        (source,),
        (1, batch * columns, rows),
        out_channels=batch * columns,
        kernel=(1,),
        groups=batch,
    )
    builder.view(made, builder.shape(operator.outputs[0]), output=operator.outputs[0])
    builder.set_weight(operator.name, weight, *steps, Step(reshape=(batch * columns, inner)))


def flip_steps(flip: bool) -> tuple[Step, ...]:
    """The step that turns a stored (k, m) matrix round, if it is one."""
    return (Step(transpose=(1, 0)),) if flip else ()


def expect_inner(operator: Operator, left: int, right: int) -> None:
    """Raise if the two operands do not meet in the same size."""
    if left != right:
        raise ShapeError(
            f"operator {operator.name}: expected the same inner size on both sides, got {left} and {right}"
        )


def expect_shape(operator: Operator, computed: Shape, inferred: Shape) -> None:
    """Raise if shape inference found another output than the operator computes."""
    if computed != inferred:
        raise ShapeError(
            f"operator {operator.name}: expected an output of {shape_text(computed)}, "
            f"got {shape_text(inferred)}"
        )
