"""What conflicts in the accumulator banks cost the Cartesian-product machine, from a sample of its cycles.

Products reach the bank of their output through a crossbar. Some outputs share a bank, so a bank now and
then gets more products than the one it takes per cycle; they wait in its queue, and once that is full the
multipliers stall. Conflicts depend on where nonzeros lie, so real steps are run one after the other:
stretches of a layer's steps on seeded PEs, blocks of output channels and first channels.

Source: Parashar et al., SCNN: An accelerator for compressed-sparse convolutional neural networks, ISCA 2017,
section IV (the crossbar and the accumulator banks). Weights of a block are taken to be stored with output
channels fastest and to pass by each vector of inputs, as in the loop nest of section III.
"""

from __future__ import annotations

import numpy as np

from simsparse.dataflows.cartesian_plane import Plane
from simsparse.dataflows.task import LayerTask
from simsparse.hardware import CartesianParameters
from simsparse.kernels.count_banks import bank_cycles
from simsparse.plan import IntArray

SAMPLED_STEPS = 50_000
"""Steps that are run for one layer; another sample of as many differs by at most .1 % on VGG-16."""
_STRETCHES = 64
_SEED = 0x5C


def conflict_factor(task: LayerTask, machine: CartesianParameters, on: Plane, inputs: IntArray) -> float:
    """Cycles per step of a layer's products; 1 where no bank ever gets too many.

    ``inputs`` (images, channels, phases, PEs) are the nonzero inputs of each PE.
    """
    layer = task.layer
    stretches = _stretches(machine, inputs, layer.groups, layer.m // layer.groups)
    if not len(stretches):
        return 1.0
    images = len(inputs)
    tensor = (
        np.ones((images, on.channels, *on.size), dtype=np.bool_)
        if task.activations.is_dense
        else task.activations.tensor.reshape(on.images, on.channels, *on.size)
    )
    vectors = (machine.weight_vector, machine.activation_vector)
    cycles, steps = bank_cycles(
        task.weights.dense_mask,
        np.ascontiguousarray(tensor),
        np.array([*on.stride, *on.padding, *on.tile, *on.grid, *on.kernel, *on.dilation, *on.out]),
        np.array(
            [
                layer.groups,
                machine.output_group,
                *vectors,
                machine.accumulator_banks,
                machine.accumulator_queue,
            ]
        ),
        stretches,
        SAMPLED_STEPS // _STRETCHES,
    )
    return cycles / steps if steps else 1.0


def _stretches(machine: CartesianParameters, inputs: IntArray, groups: int, rows: int) -> IntArray:
    """(stretches, 5) where each begins: image, PE, group, block, channel; on PEs that hold inputs."""
    image, pe = np.nonzero(inputs.sum(axis=(1, 2)))
    if not image.size:
        return np.zeros((0, 5), dtype=np.int64)
    generator = np.random.default_rng(_SEED)
    blocks, channels = -(-rows // machine.output_group), inputs.shape[1] // groups
    place = generator.integers(0, image.size, _STRETCHES)
    sides = [generator.integers(0, most, _STRETCHES) for most in (groups, blocks, channels)]
    return np.stack([image[place], pe[place], *sides], axis=1).astype(np.int64)
