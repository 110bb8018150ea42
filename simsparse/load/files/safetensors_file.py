"""A ``.safetensors`` file: a JSON header that says where each tensor lies, then the bytes. Nothing runs.

The header is checked whole before anything is read: every tensor within the file, of the size that its shape
says, none over another.

Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from simsparse.errors import FileError
from simsparse.load.files.tensor_source import FileTensor
from simsparse.load.files.text_file import parse_json_object
from simsparse.load.onnx_text import clean
from simsparse.load.quoting import shown

MAX_HEADER_BYTES = 100_000_000  # as the format's own library
MAX_AXES = 8
_LENGTH_BYTES = 8
_MISTAKES_SHOWN = 10
_DAMAGED = "the file is damaged: fetch it again"
_PLAIN = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "u1",
}


@cache
def element_types() -> Mapping[str, np.dtype[Any]]:
    """Element types of the format by the names it gives them."""
    import ml_dtypes

    small = {
        "BF16": ml_dtypes.bfloat16,
        "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E5M2": ml_dtypes.float8_e5m2,
    }
    return {name: np.dtype(code) for name, code in (_PLAIN | small).items()}


def read_safetensors(path: str | Path) -> dict[str, FileTensor]:
    """The tensors of a file by name, in the order of their bytes; none of them is read.

    Raises
    ------
    FileError
        If the file cannot be read, is cut short, or its header contradicts itself or the file; up to ten
        mistakes at once.
    """
    path = Path(path)
    shown_as = clean(str(path))
    header, data_start, size = _header(path, shown_as)
    mistakes: list[str] = []
    found: list[tuple[int, int, FileTensor]] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            found.append(_tensor(name, entry, path, data_start, size))
        except ValueError as error:
            mistakes.append(f"{shown_as}: tensor {clean(name)}: {error}")
    found.sort(key=lambda item: item[:2])
    mistakes += [f"{shown_as}: {text}" for text in _overlaps(found)]
    if mistakes:
        raise FileError(mistakes[:_MISTAKES_SHOWN])
    if not found:
        raise FileError([f"{shown_as}: expected tensors, got none (save the model again)"])
    return {tensor.name: tensor for _, _, tensor in found}


def _header(path: Path, shown_as: str) -> tuple[dict[str, Any], int, int]:
    """The header, where the data start, and the size of the file."""
    try:
        if not path.is_file():
            got = "a folder" if path.is_dir() else "no regular file"
            raise FileError([f"{shown_as}: expected a safetensors file, got {got} (check the path)"])
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            prefix = stream.read(_LENGTH_BYTES)
            length = int.from_bytes(prefix, "little")
            room = min(size - _LENGTH_BYTES, MAX_HEADER_BYTES)
            if len(prefix) < _LENGTH_BYTES or not 2 <= length <= room:
                expected = "a safetensors file, which starts with the length of its header"
                got = f"{size:,} bytes whose first eight say {length:,}"
                raise FileError([f"{shown_as}: expected {expected}, got {got} ({_DAMAGED})"])
            data = stream.read(length)
    except (OSError, ValueError) as error:
        reason = (error.strerror or "an error") if isinstance(error, OSError) else "no usable path"
        raise FileError([f"{shown_as}: expected a readable file, got: {reason} (check the path)"]) from None
    if len(data) < length:
        raise FileError(
            [f"{shown_as}: expected a header of {length:,} bytes, got {len(data):,} ({_DAMAGED})"]
        )
    return parse_json_object(data, f"{shown_as}: header"), _LENGTH_BYTES + length, size


def _tensor(name: str, entry: Any, path: Path, data_start: int, size: int) -> tuple[int, int, FileTensor]:
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"expected dtype, shape and data_offsets, got {shown(entry)} ({_DAMAGED})")
    dtype = element_types().get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        known = ", ".join(element_types())
        raise ValueError(f"expected an element type of {known}, got {shown(entry['dtype'])} (convert it)")
    shape, offsets = _integers(entry["shape"]), _integers(entry["data_offsets"])
    if shape is None or len(shape) > MAX_AXES:
        raise ValueError(f"expected at most {MAX_AXES} sizes >= 0, got {shown(entry['shape'])} ({_DAMAGED})")
    room = size - data_start
    if offsets is None or len(offsets) != 2 or not offsets[0] <= offsets[1]:
        raise ValueError(
            f"expected two offsets, begin <= end, got {shown(entry['data_offsets'])} ({_DAMAGED})"
        )
    if offsets[1] > room:
        raise ValueError(
            f"expected data up to byte {offsets[1]:,}, got {room:,} bytes (the file is cut short)"
        )
    needed, got = math.prod(shape) * dtype.itemsize, offsets[1] - offsets[0]
    if needed != got:
        raise ValueError(f"expected {needed:,} bytes for its shape, got {got:,} ({_DAMAGED})")
    tensor = FileTensor(name=name, shape=shape, dtype=dtype, path=path, offset=data_start + offsets[0])
    return offsets[0], offsets[1], tensor


def _integers(entry: Any) -> tuple[int, ...] | None:
    if not isinstance(entry, list) or not all(type(item) is int and item >= 0 for item in entry):
        return None
    return tuple(entry)


def _overlaps(found: list[tuple[int, int, FileTensor]]) -> Iterator[str]:
    end, owner = 0, ""
    for start, stop, tensor in found:
        if start < end and stop > start:
            first, second = clean(owner), clean(tensor.name)
            yield f"tensor {second}: expected bytes of its own, got bytes of tensor {first} too ({_DAMAGED})"
        if stop > end:
            end, owner = stop, tensor.name
