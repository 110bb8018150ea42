"""The matrix-vector layouts behind the same door as the tiled products."""

from __future__ import annotations

from dataclasses import dataclass

from simsparse.packed.gemv import PackedGemv, pack_gemv
from simsparse.packed.plain import finish_floats
from simsparse.packed.request import Floats, Request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """Weights packed for a few vectors."""

    packed: PackedGemv

    @property
    def stored_bytes(self) -> int:
        return self.packed.stored_bytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.packed.multiply(x, out=y)
        finish_floats(y, bias, residual, activation)


def pack_vectors(request: Request, kernel: str) -> tuple[Vectors, tuple[str, ...]]:
    """``request`` for one of the matrix-vector kernels, in bfloat16 if the weights are, and its notes."""
    dtype = "bf16" if request.encoded.dtype.name == "bfloat16" else "fp32"
    packed = pack_gemv(
        request.encoded,
        kernel=kernel,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        threads=request.threads,
        rows=request.rows,
    )
    return Vectors(packed=packed), packed.notes
