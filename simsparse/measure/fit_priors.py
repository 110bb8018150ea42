"""What the constants of the CPU model should be before anything is timed, and which of them are fitted.

A core that loads two vectors and starts two FMAs of four cycles latency per cycle fixes the inner loops;
rows, groups and loop ends are a few instructions and a branch. Memory constants are shared by the kernels.

Source: instruction counts, and for what they leave open the constants of a Zen 3 core (AVX2, 3.2 GHz).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from simsparse.hardware.cpu import (
    BlockVectorCosts,
    CoreMemory,
    CpuRowsParameters,
    CsrCosts,
    DenseCosts,
    ExpandCosts,
    GatherCosts,
    GroupedCosts,
    PanelCosts,
)
from simsparse.measure.fit import Constant
from simsparse.packed.dense import ONE_THREAD_MACS, ONE_THREAD_VECTOR_MACS

Isa = Literal["avx512", "avx2", "plain"]
_FMA_LATENCY = 4.0
_MOST_VECTORS = 8
_MISPREDICT = 14.0


def prior_parameters(isa: Isa, memory: CoreMemory, launch_cycles: Mapping[str, float]) -> CpuRowsParameters:
    """The model from instruction counts, on measured memory and with measured costs of calls."""
    return CpuRowsParameters(
        thread_launch_cycles=0.4 * launch_cycles["csr"],
        vector_thread_launch_cycles=0.4 * launch_cycles["gemv-csr"],
        memory=memory,
        panel=_panel(isa, min(launch_cycles["csr"], launch_cycles["grouped"])),
        csr=CsrCosts(
            per_weight=tuple(_cycles_per_weight(u) for u in range(1, _MOST_VECTORS + 1)),
            l2_vector=0.5,
            row=8.0,
            row_vector=1.3,
            remainder=1.3,
            mispredict=_MISPREDICT,
            long_row=3.0,
            output_factor=1.3,
        ),
        grouped=GroupedCosts(
            fma=0.53,
            load=0.5,
            row_weight=0.6,
            column=1.0,
            latency=3.5,
            group=28.0,
            plain_group=7.0,
            group_vector=2.0,
            segment=1.0,
            mispredict=_MISPREDICT,
            long_segment=3.0,
            l2_vector=0.3,
        ),
        gather=GatherCosts(
            launch_cycles=launch_cycles["gemv-csr"], step=6.5, wide_step=10.0, group=12.0, input=0.4,
            l2_input=0.35, narrow=0.4, weights=(0.45, 0.95), exposed=0.2,
        ),
        bitmask=ExpandCosts(
            launch_cycles=launch_cycles["gemv-bitmask"], chunk=10.5, group=20.0, input=0.4,
            l2_input=1.0, narrow=1.5, weights=(0.45, 0.95), exposed=0.25,
        ),
        nm=ExpandCosts(
            launch_cycles=launch_cycles["gemv-nm"], chunk=17.0, group=20.0, input=0.4,
            l2_input=1.0, narrow=4.0, weights=(0.45, 0.95), exposed=0.25,
        ),
        block_vector=BlockVectorCosts(
            launch_cycles=launch_cycles["gemv-bsr"], block=(2.0, 1.8, 1.5), further=0.35, group=15.0,
            input=0.3, l2_input=2.0, narrow=0.1, weights=(0.8, 1.0), exposed=0.6,
        ),
        dense=_dense(isa, launch_cycles["dense"], launch_cycles["gemv-dense"]),
    )  # fmt: skip


def _cycles_per_weight(vectors: int) -> float:
    """A splat and a load per vector, two loads a cycle; or the latency of the sums, which are few."""
    sums = 4 if vectors <= 2 else 2 if vectors <= 4 else 1
    return max((vectors + 1) / 2, _FMA_LATENCY / sums, 1.4)


def _panel(isa: Isa, launch_cycles: float) -> PanelCosts:
    return PanelCosts(
        isa=isa, launch_cycles=launch_cycles, call_cycles=0.3 * launch_cycles, pack=1.2, pack_ragged=1.3,
        pack_row=2.0, pack_tail=1.5, gather_row=1.0, gather_piece=0.5, gather=8.0, split=2.5,
        split_line=0.8, mask=2.0,
        branch_capacity=18e3, inputs=(1.0, 1.0), weights=(0.8, 0.9), outputs=(0.4, 1.1),
        exposed=0.4,
    )  # fmt: skip


def _dense(isa: Isa, launch_cycles: float, loop_launch_cycles: float) -> DenseCosts:
    per_16 = 1.1 if isa != "plain" else 4.0
    columns = (per_16, 0.5 * per_16, 0.44 * per_16, 0.38 * per_16, 0.27 * per_16)
    small = (per_16, 0.56 * per_16, 0.28 * per_16, 0.2 * per_16, 0.14 * per_16)  # whose lanes are rows
    return DenseCosts(
        library="packed",
        launch_cycles=launch_cycles, loop_launch_cycles=loop_launch_cycles,
        thread_launch_cycles=2 * launch_cycles, one_thread_macs=ONE_THREAD_MACS,
        one_thread_vector_macs=ONE_THREAD_VECTOR_MACS, columns=columns, small_columns=small,
        small_macs=1e6 if isa == "avx512" else 0.0, pack_weights=0.5, pack_inputs=0.8, outputs=0.45,
        small_outputs=0.5, small_row=3.7, vector_row=8.0, vector_input=0.5, streams=(0.6, 1.2),
        vector_streams=(1.3, 1.0), exposed=0.45,
        direct_few=1.2, direct_vector=2.5, direct_strided=2.0, direct_plane=60.0, direct_below_rows=4,
    )  # fmt: skip


def _of(spread: float, part: str, *names: str) -> tuple[Constant, ...]:
    return tuple(Constant(path=f"{part}.{name}", spread=spread) for name in names)


MEMORY = (
    *_of(0.5, "memory", "l3_usable_bytes", "l3_written_bytes", "cold_call_cycles"),
    *_of(0.15, "memory", "l1_usable_bytes", "dram_bytes_per_cycle"),
)
"""Shared by all kernels."""

_PANEL = (
    *_of(0.2, "panel", "launch_cycles"),
    *_of(0.3, "panel", "pack", "pack_ragged", "pack_tail", "mask"),
    *_of(0.5, "panel", "call_cycles", "pack_row", "split_line", "branch_capacity"),
    *_of(0.4, "panel", "exposed", "inputs.0", "inputs.1", "weights.0", "weights.1", "outputs.0", "outputs.1"),
)


def _vector(part: str, *inner: str) -> tuple[Constant, ...]:
    return (
        *_of(0.2, part, "launch_cycles"),
        *_of(0.25, part, *inner, "group"),
        *_of(0.5, part, "input"),
        *_of(0.2, part, "weights.1"),
        *_of(0.6, part, "weights.0", "exposed"),
    )


BY_KERNEL = {
    "csr": (
        *_PANEL,
        *_of(0.15, "csr", *(f"per_weight.{vectors}" for vectors in range(_MOST_VECTORS))),
        *_of(0.3, "csr", "l2_vector", "row", "row_vector", "remainder", "mispredict", "long_row"),
        *_of(0.3, "csr", "output_factor"),
    ),
    "pairs": (),
    "grouped": (
        *_PANEL,
        *_of(0.15, "grouped", "fma", "load", "latency"),
        *_of(0.4, "grouped", "row_weight", "column", "group", "plain_group", "group_vector", "segment"),
        *_of(0.3, "grouped", "mispredict", "long_segment", "l2_vector"),
    ),
    "gemv-csr": (*_vector("gather", "step"), *_of(0.6, "gather", "l2_input")),
    "gemv-bitmask": (*_vector("bitmask", "chunk"), *_of(0.6, "bitmask", "l2_input")),
    "gemv-nm": (*_vector("nm", "chunk"), *_of(0.6, "nm", "l2_input")),
    "gemv-bsr": (
        *_vector("block_vector", "block.0", "block.2", "further"),
        *_of(0.6, "block_vector", "l2_input"),
    ),
    "dense": (
        *_of(0.2, "dense", "launch_cycles", "loop_launch_cycles"),
        *_of(0.3, "dense", *(f"columns.{place}" for place in range(5))),
        *_of(0.3, "dense", *(f"small_columns.{place}" for place in range(5)), "small_outputs", "small_row"),
        *_of(0.5, "dense", "pack_weights", "pack_inputs", "outputs", "vector_row"),
        *_of(0.7, "dense", "vector_input"),
        *_of(0.2, "dense", "vector_streams.1"),
        *_of(0.6, "dense", "streams.0", "streams.1", "vector_streams.0", "exposed"),
    ),
}
"""What each kernel's timings tell of; the tiled kernels share the packing."""

PARTS = {
    "csr": ("panel", "csr"),
    "pairs": ("panel", "csr", "grouped"),
    "grouped": ("panel", "grouped"),
    "gemv-csr": ("gather",),
    "gemv-bitmask": ("bitmask",),
    "gemv-nm": ("nm",),
    "gemv-bsr": ("block_vector",),
    "dense": ("dense",),
}
"""Parts of the parameters that a kernel reads, beside the memory."""
