"""The matrix-vector layouts behind the same door as the tiled products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simsparse.packed.gemv import PackedGemv, pack_gemv
from simsparse.packed.plain import finish_bound
from simsparse.packed.request import Floats, Request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """Weights packed for a few vectors."""

    packed: PackedGemv

    @property
    def stored_bytes(self) -> int:
        return self.packed.stored_bytes

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """As in ``Ready``."""
        product, finish = self.packed.bind(x, y), finish_bound(y, bias, residual, activation)

        def multiply() -> None:
            product()
            finish()

        return multiply


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
