"""Sizes of a model's inputs: batch and sequence dimensions that a file leaves open get their numbers here.

A decoder with a key-value cache has a dimension called ``past…``. Its cache then holds ``seq`` tokens and the
new sequence is one token long: a decode step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simsparse.errors import FileError, UsageError
from simsparse.load.onnx_text import clean

Proto = Any

MAX_ELEMENTS = 2**40
_INTEGER_TYPES = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})
_BATCH = re.compile(r"batch|^(n|bs|b)$", re.IGNORECASE)
_PAST = re.compile(r"past|cache", re.IGNORECASE)
_TOTAL = re.compile(r"total|\+|kv_len", re.IGNORECASE)
_SEQUENCE = re.compile(r"seq|len|token|time|frames|^(s|t|l|sl)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What open dimensions become; ``None`` where nothing was asked for."""

    batch: int | None = None
    seq: int | None = None

    def __post_init__(self) -> None:
        for option, value in (("batch", self.batch), ("seq", self.seq)):
            if value is not None and not 1 <= value <= MAX_ELEMENTS:
                raise UsageError(
                    f"{option}: expected a whole number >= 1, got {value} (leave it out for the default)"
                )


def set_input_sizes(inputs: Sequence[Proto], sizes: Sizes, path: str) -> tuple[int, tuple[str, ...]]:
    """Write a number into every open dimension of ``inputs``; returns the batch and notes for the report.

    Raises
    ------
    FileError
        If a dimension is negative, a tensor is too large, or a dimension stays open; all of them at once.
    UsageError
        If ``batch`` differs from the one that the file fixes.
    """
    has_past = any(_PAST.search(dim.dim_param) for value in inputs for dim in _dims(value))
    mistakes: list[str] = []
    for value in inputs:
        mistakes += _set_one(value, sizes, path, has_past)
    if mistakes:
        raise FileError(mistakes)
    notes = ("one decode step: the cache holds seq tokens and one new token is computed",) if has_past else ()
    return _batch_of(inputs, sizes, path), notes


def _dims(value: Proto) -> Sequence[Proto]:
    return value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ()


def _set_one(value: Proto, sizes: Sizes, path: str, has_past: bool) -> list[str]:
    """Set the open dimensions of one input; one line per mistake."""
    where = f"{path}: input {clean(value.name)}"
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return [f"{where}: expected a tensor with a shape, got none (export the model with example inputs)"]
    mistakes, elements = [], 1
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < -1:
            mistakes.append(
                f"{where}: expected sizes >= 1, got {dim.dim_value} in axis {axis} (export it again)"
            )
        elif dim.dim_value < 1:
            is_ids = len(tensor.shape.dim) == 2 and tensor.elem_type in _INTEGER_TYPES
            size, way_out = _size_of(axis, dim.dim_param, sizes, is_ids, has_past)
            if size is None:
                name = clean(dim.dim_param) or f"of axis {axis}"
                mistakes.append(f"{where}: expected a size for dimension {name}, got none ({way_out})")
                continue
            dim.dim_value = size
        elements *= max(1, dim.dim_value)
    if elements > MAX_ELEMENTS:
        mistakes.append(
            f"{where}: expected at most 2^40 elements, got {elements:,} (choose a smaller batch or seq)"
        )
    return mistakes


def _size_of(axis: int, name: str, sizes: Sizes, is_ids: bool, has_past: bool) -> tuple[int | None, str]:
    """The size of an open dimension, or ``None`` and the way out."""
    way_out = "give seq, the sequence length: --seq 128"
    if _PAST.search(name) and not _TOTAL.search(name):
        return sizes.seq, way_out
    if has_past and _TOTAL.search(name):
        return (None if sizes.seq is None else sizes.seq + 1), way_out
    if _SEQUENCE.search(name) or (is_ids and axis == 1):
        return (1 if has_past else sizes.seq), way_out
    if axis == 0 or _BATCH.search(name):
        return sizes.batch or 1, ""
    return None, "export the model with this size fixed; --batch and --seq set only batch and sequence"


def _batch_of(inputs: Sequence[Proto], sizes: Sizes, path: str) -> int:
    """The batch in axis 0 of the first input that has axes."""
    firsts = [dims[0].dim_value for dims in map(_dims, inputs) if len(dims) > 1]
    batch = firsts[0] if firsts else sizes.batch or 1
    if sizes.batch is not None and firsts and sizes.batch not in firsts:
        raise UsageError(
            f"{path}: expected batch {batch}, which the file fixes, got {sizes.batch} "
            "(export the model with an open batch dimension)"
        )
    return batch
