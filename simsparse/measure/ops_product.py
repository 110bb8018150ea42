"""Products with constant weights: encoded, packed for a kernel of this host, and bound to their tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FormatError, PatternError, ShapeError
from simsparse.formats import make_format
from simsparse.formats.base import Encoded
from simsparse.ir import ConvShape
from simsparse.measure.graph_products import weight_matrix
from simsparse.measure.op import Array, Call, Layout, Op, Product, Setting, bound_op
from simsparse.packed import Packed, PackedConv, prepare, prepare_conv
from simsparse.pattern import Pattern

AUTO = "auto"
Mask = NDArray[np.bool_]
Masks = Callable[[str], Mask | None]


def keep_all(layer: str) -> None:
    """No layer is masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """How products are to run: ``format`` is a format's name, "auto" or "dense"; ``masks`` by layer name."""

    format: str = AUTO
    threads: int = 1
    masks: Masks = keep_all
    pattern: Pattern | None = None
    formats: Callable[[str], str | None] = keep_all
    """Formats of single layers, in place of ``format``."""

    def of_layer(self, layer: str) -> Kernels:
        """The same for one layer, with its own format."""
        return replace(self, format=self.formats(layer) or self.format) if layer else self


def build_product(setting: Setting, kernels: Kernels) -> Op:
    """Pack the weights of a ``Product`` node and bind them.

    Raises
    ------
    ShapeError
        If the mask of the layer has another shape than its weights.
    """
    node = setting.node
    kernels = kernels.of_layer(node.layer)
    weights = weight_matrix(node, setting.graph)
    mask = kernels.masks(node.layer) if node.layer else None
    if mask is not None:
        if mask.shape != weights.shape:
            raise ShapeError(
                f"layer {node.layer}: expected a mask of shape {weights.shape}, got {mask.shape}"
            )
        weights = np.where(mask, weights, np.float32(0))
    encoded, notes = encode(weights, mask, kernels)
    is_conv = node.attributes["kind"] == "conv"
    asked = encoded.format.name if kernels.format != AUTO else ""
    op = (_bind_conv if is_conv else _bind_linear)(setting, encoded, kernels.threads, asked)
    assert op.product is not None
    return replace(op, product=replace(op.product, notes=notes + op.product.notes))


def encode(weights: Array, mask: Mask | None, kernels: Kernels) -> tuple[Encoded, tuple[str, ...]]:
    """Weights in the format asked for, or dense with the reason where it cannot hold them.

    With "auto" the kernels choose by what is stored, so that any format without padding will do.
    """
    density = np.count_nonzero(weights if mask is None else mask) / weights.size
    dense = make_format("dense")
    if kernels.format == "dense" or (density == 1.0 and kernels.format == AUTO):
        return dense.encode(weights), ()
    if kernels.format == AUTO:
        return make_format("csr").encode(weights, mask), ()
    if density == 1.0:
        return dense.encode(weights), ("dense: nothing was removed",)
    try:
        return make_format(kernels.format, pattern=kernels.pattern).encode(weights, mask), ()
    except (FormatError, PatternError, ShapeError) as error:
        return dense.encode(weights), (f"dense: {kernels.format} cannot hold it ({error})",)


def kernel_of(asked: str, n: int) -> str | None:
    """The sparse kernel for a format that was asked for by name; None where the rule is to choose."""
    if asked in ("", "dense"):
        return None
    if n == 1:
        return f"gemv-{asked}" if asked in ("bitmask", "nm", "bsr") else "gemv-csr"
    return "grouped" if asked in ("bsr", "nm", "vnm") else "csr"


def _bind_linear(setting: Setting, encoded: Encoded, threads: int, asked: str) -> Op:
    """x · Wᵀ over the last axis of x, whose X (k, n) has a token per column; or W · x as it stands."""
    epilogue, x = setting.node.epilogue, setting.inputs[0]
    assert x is not None
    m, k = encoded.shape
    n = x.size // k
    left = setting.node.attributes["kind"] == "left"
    packed = prepare(
        encoded,
        n,
        threads=threads,
        kernel=kernel_of(asked, n),
        bias=epilogue.shift,
        activation=_activation(epilogue.activation),
    )

    def columns(array: Array, rows: int) -> Array:
        return array.reshape(rows, n) if left else array.reshape(n, rows).T

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        beside = columns(inputs[1], m) if len(inputs) > 1 else None
        return packed.bind(columns(inputs[0], k), columns(out, m), beside)

    rank = len(setting.out_shape)
    order = None if left or rank == 0 else (rank - 1, *range(rank - 1))
    layout = Layout.ROWS if left else Layout.COLUMNS
    needs = dict.fromkeys(range(len(setting.inputs)), layout)
    facts = _facts(encoded, packed, n)
    return bound_op(bind, order=order, needs=needs, product=facts, in_place=_over(setting, packed))


def _bind_conv(setting: Setting, encoded: Encoded, threads: int, asked: str) -> Op:
    epilogue, x = setting.node.epilogue, setting.inputs[0]
    assert x is not None
    conv = _conv_shape(setting, x)
    groups = setting.node.attributes["group"]
    packed = prepare_conv(
        encoded,
        conv,
        groups=groups,
        threads=threads,
        kernel=kernel_of(asked, 2),
        bias=epilogue.shift,
        activation=_activation(epilogue.activation),
    )
    shape = (conv.batch, encoded.shape[0], conv.out_height, conv.out_width)
    source = (conv.batch, conv.in_channels, conv.in_height, conv.in_width)

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        beside = inputs[1].reshape(shape) if len(inputs) > 1 else None
        return packed.bind(inputs[0].reshape(source), out.reshape(shape), beside)

    needs = dict.fromkeys(range(len(setting.inputs)), Layout.ROWS)
    facts = _facts(encoded, packed, conv.positions)
    return bound_op(bind, needs=needs, product=facts, in_place=_over(setting, packed))


def _over(setting: Setting, packed: Packed | PackedConv) -> tuple[int, ...]:
    """The inputs that the result may overwrite: the residual, if the kernel adds it in place."""
    return (1,) if len(setting.inputs) > 1 and packed.adds_in_place else ()


def _activation(name: str) -> Any:
    return name or None


def _conv_shape(setting: Setting, x: Array) -> ConvShape:
    """The geometry of a convolution over one axis (as one of height 1) or two."""
    attributes, out = setting.node.attributes, setting.out_shape
    kernel = setting.graph.shapes[attributes["weight"]][2:]
    strides, dilations, pads = attributes["strides"], attributes["dilations"], attributes["pads"]
    if len(kernel) == 1:
        image, kernel, out = (1, x.shape[2]), (1, *kernel), (*out[:2], 1, out[2])
        strides, dilations, pads = (1, *strides), (1, *dilations), (0, pads[0], 0, pads[1])
    else:
        image = (x.shape[2], x.shape[3])
    return ConvShape(
        batch=x.shape[0],
        in_channels=x.shape[1],
        in_height=image[0],
        in_width=image[1],
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        out_height=out[2],
        out_width=out[3],
        stride=(strides[0], strides[1]),
        padding=(pads[0], pads[1], pads[2], pads[3]),
        dilation=(dilations[0], dilations[1]),
    )


def _facts(encoded: Encoded, packed: Any, n: int) -> Product:
    m, k = encoded.shape
    stored = encoded.footprint.stored_values
    is_dense = packed.kernel == "dense"
    gave_up = is_dense and encoded.format.name != "dense"
    reason = f"dense: sparsity does not pay at density {stored / (m * k):.2f}"
    return Product(
        m=m,
        k=k,
        n=n,
        stored=m * k if is_dense else stored,
        stored_bytes=packed.stored_bytes,
        format="dense" if is_dense else encoded.format.name,
        kernel=packed.kernel,
        notes=(*packed.notes, reason) if gave_up else packed.notes,
    )
