"""Whole networks: what an eager framework adds, the host's recurrence, and layout copies around kernels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simsparse.dataflows.gpu_layout import transposed_bytes
from simsparse.ir import Layer, LayerKind
from simsparse.layer_run import LayerRunner
from simsparse.load.catalog import load_hardware
from simsparse.validation.eager import eager
from simsparse.validation.gpu_timing import gpu_of, kernel_s, with_library
from simsparse.validation.networks import Operator, network_s, workload_with

SHAPE = (1024, 1024, 4096)


def operator(time_s: float, count: int = 1, sparse: bool = False) -> Operator:
    return Operator(time_s=time_s, count=count, sparse=sparse)


def test_the_slower_of_host_and_gpu_decides() -> None:
    block = [operator(1.0, 3), operator(2.0, 3, sparse=True)]
    assert network_s(block) == 9.0
    assert network_s(block, dispatch_s=10.0) == 60.0 + 2.0
    assert network_s(block, dispatch_s=10.0, sparse_dispatch_s=5.0) == 75.0 + 2.0
    assert network_s([operator(5.0), *block], dispatch_s=0.1) == pytest.approx(0.1 + 5.0 + 9.0)


def test_eager_bert_moves_what_was_counted_by_hand() -> None:
    """26 values of the residual stream and 8 of the scores per layer, matrix products of heads left out."""
    workload = workload_with("bert-base", batch=2, seq=64)
    stream, scores = 2 * 64 * 768, 2 * 12 * 64 * 64
    passes = [la for la in eager(workload.layers) if la.count == 12 and not la.kind.is_product]
    assert sum(la.input_elements + la.output_elements for la in passes) == 26 * stream + 6 * scores
    cast = [la for la in eager(workload.layers, autocast=True) if la.count == 12 and not la.kind.is_product]
    assert len(cast) == len(passes) + 5
    assert sum(la.transposes for la in cast) == sum(la.transposes for la in passes) == 1


def test_a_transposing_movement_gathers_sectors() -> None:
    runner = LayerRunner(hardware=load_hardware("rtx-3090"), dtype="fp16")
    size = 32 * 2**20
    plain = Layer(name="c", kind=LayerKind.MOVEMENT, input_elements=size, output_elements=size)
    straight, turned = (runner.vector(la) for la in (plain, dataclasses.replace(plain, transposes=True)))
    assert turned.counts[("l2", "byte")] == transposed_bytes(size, 16, 32)[0] == 32 * size
    assert turned.cost.dram_bytes == straight.cost.dram_bytes == 4 * size
    assert turned.time_s > 2 * straight.time_s


def test_a_librarys_copies_cost_their_bytes_and_a_launch() -> None:
    machine = load_hardware("rtx-3090")
    mask = np.tile(np.arange(1024) % 8 < 2, (1024, 1))
    alone, copied = (
        kernel_s(with_library(machine, name), SHAPE, "vnm:64:2:8", mask) for name in ("", "spatha-torch")
    )
    gathered = SHAPE[1] * SHAPE[2] * 32 / 2.0e12
    assert alone + gathered + machine.launch_s < copied < alone + 1.6 * gathered + 3 * machine.launch_s


def test_narrow_weights_are_read_narrow() -> None:
    machine = load_hardware("a100-80gb")
    wide, narrow = (
        kernel_s(with_library(machine, name), (14336, 4096, 1), "nm") for name in ("", "sparse-marlin")
    )
    assert narrow < 0.6 * wide


def test_a_small_tile_alone_cannot_keep_the_vector_lanes_busy() -> None:
    gpu = gpu_of(load_hardware("v100"))
    tile = next(tile for tile in gpu.dense.tiles if tile.shape[:2] == (64, 64))
    assert [gpu.issue_share("fp32", tile, resident) for resident in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert gpu.issue_share("fp16", tile, 1) == 1.0
