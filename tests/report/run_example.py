"""Runs and measurements made by hand, for tests of what is written about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simsparse.ir import Unsupported
from simsparse.measurement import LayerMeasurement, Measurement
from simsparse.results import Cost, Counts, LayerResult, Run


def cost(time_s: float, energy_j: float, stored: int = 1000) -> Cost:
    return Cost(
        time_s=time_s,
        cycles=time_s * 1e9,
        energy_by_component_j={"mac": energy_j * 0.25, "dram": energy_j * 0.75},
        weight_bytes=stored,
        metadata_bytes=stored // 10,
        peak_activation_bytes=4096,
        dram_bytes=stored * 2,
        macs_dense=1_000_000,
        macs_done=400_000,
        macs_gated=100_000,
        macs_skipped=500_000,
    )


def layer(name: str, kind: str = "conv", **changes: Any) -> LayerResult:
    product = kind in ("conv", "linear", "matmul")
    plain = LayerResult(
        name=name,
        kind=kind,
        m=64 if product else 0,
        k=576 if product else 0,
        n=3136 if product else 0,
        count=1,
        weight_density=0.5 if kind in ("conv", "linear") else 1.0,
        activation_density=1.0,
        format="nm:2:4" if product else "",
        kernel="tiles 64x64",
        bound_by="dram",
        utilisation=0.5,
        bound_cycles=1000.0,
        balance=1.0,
        counts=Counts({("mac", "int8"): 400_000}),
        cost=cost(1e-3, 2e-3),
    )
    return replace(plain, **changes)


def example_run(**changes: Any) -> Run:
    layers = (
        layer("conv1"),
        layer("block.conv", count=3, cost=cost(2e-3, 1e-3)),
        layer("relu", "activation", cost=cost(1e-4, 1e-5)),
        layer("bn", "normalization", cost=cost(2e-4, 1e-5)),
        layer("relu2", "activation", cost=cost(3e-4, 1e-5), bound_by="vector"),
    )
    run = Run(
        model="net",
        hardware="stc",
        pattern="2:4",
        asked_pattern="2:4",
        format="auto",
        dtype="int8",
        batch=1,
        seed=0,
        engine="compiled",
        criterion="magnitude",
        allocation="uniform",
        tdp_w=None,
        layers=layers,
        baseline_layers=tuple(
            replace(item, cost=cost(item.time_s * 2, item.energy_j * 1.5)) for item in layers
        ),
        totals=cost(7.6e-3, 5.03e-3),
        baseline=cost(15.2e-3, 7.545e-3, stored=2000),
        baseline_name="dense int8 tiles",
        bound_by="dram",
        bound_share=0.9605,
        approximations=("weights are seeded",),
        unsupported=(Unsupported(name="nms", reason="no such operator here", macs_share=0.07),),
        versions={"simsparse": "0.1.0", "numpy": "2"},
    )
    return replace(run, **changes)


def example_measurement(**changes: Any) -> Measurement:
    product = LayerMeasurement(
        name="fc",
        layer="fc",
        kind="Gemm",
        m=64,
        k=32,
        n=8,
        weight_density=0.25,
        format="csr",
        kernel="rows",
        time_s=2e-6,
        spread=0.1,
        dense_s=3e-6,
        predicted_s=2.5e-6,
        flops=8192,
        moved_bytes=4096,
    )
    other = LayerMeasurement(name="relu", layer="relu", kind="Relu", time_s=1e-6, spread=0.2)
    plain = Measurement(
        model="net",
        pattern="2:4",
        format="auto",
        threads=1,
        batch=1,
        seed=0,
        runs=3,
        time_s=3e-6,
        spread=0.1,
        dense_name="onnxruntime",
        dense_s=6e-6,
        dense_spread=0.1,
        layers=(product, other),
        host="host",
        predicted_s=2.5e-6,
        notes=("a note",),
    )
    return replace(plain, **changes)
