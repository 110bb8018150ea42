"""Ways to run a model: inference, one training step, or one half of what a decoder does."""

from __future__ import annotations

from typing import Literal, get_args

Phase = Literal["inference", "train", "prefill", "decode"]
LoadedPhase = Literal["prefill", "decode"]
"""Those that decide a decoder's layers, and so are asked of the loader."""
PHASES: tuple[str, ...] = get_args(Phase)
INFERENCE: Phase = "inference"
TRAIN: Phase = "train"


def loaded_phase(phase: str) -> str | None:
    """What the loader is asked for.

    >>> loaded_phase("decode"), loaded_phase("train")
    ('decode', None)
    """
    return phase if phase in get_args(LoadedPhase) else None
