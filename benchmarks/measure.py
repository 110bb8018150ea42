"""Whole pruned networks beside onnxruntime dense, end to end, in one process and in turn.

Floors are what this program wants to reach at least, aims what it strives for. Unstructured rows leave the
first and the last layer dense, as published figures do.
Run: ``taskset -c 1 python benchmarks/measure.py [--threads 1] [--repeat 20] [--only resnet50]``.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@dataclass(frozen=True, slots=True)
class Case:
    """A network, its pattern, and the speed-ups wanted over the dense library."""

    model: str
    pattern: str
    skip: tuple[str, ...]
    floor: float
    aim: float
    seq: int | None = None


CASES = (
    Case("resnet50", "unstructured:0.9", ("conv1", "fc"), 2.5, 3.5),
    Case("resnet50", "unstructured:0.95", ("conv1", "fc"), 3.3, 5.0),
    Case("resnet50", "block:4x1:0.9", ("conv1", "fc"), 4.0, 5.0),
    Case("resnet50", "2:4", ("conv1", "fc"), 1.3, 1.6),
    Case("mobilenet_v1", "unstructured:0.9", ("conv0", "fc"), 2.0, 3.0),
    Case("bert-base", "unstructured:0.9", (), 3.5, 5.0, 128),
)
_HEAD = (
    f"{'network':13} {'pattern':18} {'ours':>9} {'dense':>9} "
    f"{'gain':>6} {'floor':>6} {'aim':>5}  spread  slower"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--only", default="", help="part of a network's name or pattern")
    parser.add_argument("--layers", action="store_true", help="also print the slowest layers")
    options = parser.parse_args()
    print(_HEAD)
    for case in CASES:
        if options.only in f"{case.model} {case.pattern}":
            run(case, options.threads, options.repeat, layers=options.layers)


def run(case: Case, threads: int, repeat: int, *, layers: bool) -> None:
    """One row; ``slower`` counts layers whose time is more than 5 % above the dense library's."""
    import simsparse

    found = simsparse.measure(
        case.model, prune=case.pattern, skip=case.skip, seq=case.seq, threads=threads, repeat=repeat
    )
    assert found.time_s is not None
    assert found.dense_s is not None
    assert found.speedup is not None
    slower = [layer for layer in found.layers if layer.speedup is not None and layer.speedup < 1 / 1.05]
    verdict = "aim" if found.speedup >= case.aim else "floor" if found.speedup >= case.floor else "short"
    print(
        f"{case.model:13} {case.pattern:18} {found.time_s * 1e3:6.1f} ms {found.dense_s * 1e3:6.1f} ms "
        f"{found.speedup:5.2f}x {case.floor:5.1f}x {case.aim:4.1f}x  {100 * (found.spread or 0):5.0f}%  "
        f"{len(slower):6d}  {verdict} ({found.dense_name})",
        flush=True,
    )
    if layers:
        for layer in sorted(found.layers, key=lambda layer: -layer.time_s)[:12]:
            dense = "" if layer.dense_s is None else f"{layer.dense_s * 1e3:7.3f}"
            shape = f"{layer.m}x{layer.k}x{layer.n}"
            what = layer.kernel or layer.kind
            print(f"    {layer.name:34} {what:14} {shape:16} {layer.time_s * 1e3:7.3f} {dense}")


if __name__ == "__main__":
    main()
