"""One layer written on the command line: ``gemm:M,K,N`` and ``conv:C,K,H,W,R,S,stride``.

``gemm`` is ``Y[M, N] = W[M, K] · X[K, N]``. ``conv`` has C input channels, K output channels (letters of the
literature), an H × W input, an R × S kernel, and pads R // 2 rows and S // 2 columns on each side, so that an
odd kernel of stride 1 keeps the image's size. The stride may be left out: 1.
"""

from __future__ import annotations

from simsparse.errors import UsageError, nearest
from simsparse.ir import ConvShape, Layer, Workload, conv_layer, gemm_layer

MAX_SIZE = 10**9
_FORMS = {"gemm": ("M", "K", "N"), "conv": ("C", "K", "H", "W", "R", "S", "stride")}
_EXAMPLES = {"gemm": "gemm:64,64,1024", "conv": "conv:64,128,56,56,3,3,1"}


def is_inline(text: str) -> bool:
    """Whether ``text`` is meant as an inline layer rather than a name or a file.

    >>> is_inline("gemm:64,64,1024"), is_inline("resnet50")
    (True, False)
    """
    return text.strip().lower().partition(":")[0] in _FORMS and ":" in text


def parse_inline(text: str, *, batch: int | None = None) -> Workload:
    """The workload of the one layer that ``text`` describes, named ``gemm`` or ``conv``.

    ``batch`` is the number of images of a convolution; the N of a ``gemm`` says it all already.

    Raises
    ------
    UsageError
        If the text is no inline layer, a number in it is out of range, or a ``gemm`` is given a batch.

    >>> parse_inline("gemm:64,32,1024").macs
    2097152
    >>> parse_inline("conv:64,128,56,56,3,3,2").layers[0].n
    784
    """
    kind, _, rest = text.strip().lower().partition(":")
    if kind not in _FORMS:
        near = nearest(kind, _FORMS) or list(_FORMS)
        raise UsageError(f'layer: expected gemm:… or conv:…, got "{text}" (write {_EXAMPLES[near[0]]})')
    words = rest.split(",")
    if kind == "conv" and len(words) == len(_FORMS["conv"]) - 1:
        words.append("1")
    if len(words) != len(_FORMS[kind]):
        raise UsageError(
            f"{kind}: expected {len(_FORMS[kind])} numbers {','.join(_FORMS[kind])}, "
            f'got {len(words)} in "{text}" (write {_EXAMPLES[kind]})'
        )
    sizes = {name: _size(kind, name, word) for name, word in zip(_FORMS[kind], words, strict=True)}
    if kind == "gemm" and batch not in (None, 1):
        raise UsageError(f"gemm: expected no batch, got {batch} (multiply N instead)")
    images = 1 if batch is None else _size(kind, "batch", str(batch))
    layer = gemm_layer(kind, *sizes.values()) if kind == "gemm" else _conv(sizes, images)
    name = f"{kind}:{','.join(map(str, sizes.values()))}"
    return Workload(name=name, layers=(layer,), source="given on the command line", batch=images)


def _size(kind: str, name: str, word: str) -> int:
    word = word.strip()
    size = int(word) if word.isascii() and word.isdigit() and len(word) < 20 else 0
    if not 1 <= size <= MAX_SIZE:
        raise UsageError(
            f'{kind}: {name}: expected a whole number from 1 to 10^9, got "{word}" (write {_EXAMPLES[kind]})'
        )
    return size


def _conv(sizes: dict[str, int], batch: int) -> Layer:
    rows, columns, stride = sizes["R"], sizes["S"], sizes["stride"]
    top, left = rows // 2, columns // 2
    shape = ConvShape(
        batch=batch,
        in_channels=sizes["C"],
        in_height=sizes["H"],
        in_width=sizes["W"],
        kernel_height=rows,
        kernel_width=columns,
        out_height=(sizes["H"] + 2 * top - rows) // stride + 1,
        out_width=(sizes["W"] + 2 * left - columns) // stride + 1,
        stride=(stride, stride),
        padding=(top, left, top, left),
    )
    return conv_layer("conv", shape, sizes["K"])
