"""The validation targets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from simsparse.errors import UnknownNameError
from simsparse.validation import (
    cpu_eie,
    cpu_networks,
    dstc,
    eie,
    end_to_end,
    eyeriss_v1,
    eyeriss_v2_pe,
    format_port,
    gpu_24,
    scnn,
    sigma,
    tensor_core,
    venom,
)
from simsparse.validation.check import Check

TARGETS: Mapping[str, Callable[[], list[Check]]] = {
    "eyeriss-v1": eyeriss_v1.checks,
    "eyeriss-v2-pe": eyeriss_v2_pe.checks,
    "eie": eie.checks,
    "scnn": scnn.checks,
    "tensor-core": tensor_core.checks,
    "sigma": sigma.checks,
    "dstc": dstc.checks,
    "formats": format_port.checks,
    "gpu-2:4": gpu_24.checks,
    "venom-rtx-3090": venom.checks,
    "cpu-eie": cpu_eie.checks,
    "cpu-networks": cpu_networks.checks,
    "end-to-end": end_to_end.checks,
}


def target_names() -> tuple[str, ...]:
    """Names that `validate` takes."""
    return tuple(TARGETS)


def validate(targets: Sequence[str] = ()) -> list[Check]:
    """Our results beside the published ones, for the named targets or all.

    Raises
    ------
    UnknownNameError
        If there is no such target.
    """
    for name in targets:
        if name not in TARGETS:
            raise UnknownNameError("target", name, TARGETS)
    return [check for name in targets or TARGETS for check in TARGETS[name]()]
